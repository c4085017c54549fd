"""Bytecode in one file, held against what Python itself would import."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from checks.tree import ROOT

PROGRAM = """
import inspect, sys
from rlc.bytecode import KeptBytecode
sys.path.insert(0, sys.argv[1])
kept = KeptBytecode(sys.argv[2], ("house",))
sys.meta_path.insert(0, kept)
import house.room, house.wing.room
kept.keep()
modules = [module for name, module in sorted(sys.modules.items()) if name.startswith("house")]
print(*(type(module.__loader__).__name__ for module in modules), house.room.VALUE, house.wing.room.VALUE, sep=",")
for m in modules:
    print(m.__name__, m.__package__, m.__file__, m.__spec__.cached, getattr(m, "__path__", None), m.__spec__.parent)
    print(m.__spec__.origin, m.__spec__.has_location, m.__spec__.submodule_search_locations, inspect.getsource(m))
"""

BY_PYTHON, KEPT = "SourceFileLoader", "KeptLoader"


@pytest.fixture(autouse=True)
def writes_bytecode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs these tests may have told Python to write none."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A folder with a package of four modules."""
    folder = tmp_path / "street"
    (folder / "house" / "wing").mkdir(parents=True)
    for name in ("house", "house/wing"):
        (folder / name / "__init__.py").write_text("INSIDE = True\n", encoding="utf-8")
        (folder / name / "room.py").write_text("VALUE = 1\n", encoding="utf-8")
    return folder


def test_modules_are_kept_and_are_then_what_python_makes_of_them(house: Path) -> None:
    loaders, first = imported(house)
    assert loaders == [*[BY_PYTHON] * 4, "1", "1"]
    loaders, second = imported(house)
    assert loaders == [*[KEPT] * 4, "1", "1"]
    assert first == second


def test_a_file_that_serves_is_not_written_again(house: Path) -> None:
    imported(house)
    before = (house / "kept").stat().st_mtime_ns
    imported(house)
    assert (house / "kept").stat().st_mtime_ns == before


def test_a_source_that_changed_is_read_again_and_kept(house: Path) -> None:
    imported(house)
    rewrite(house / "house" / "room.py", "VALUE = 2\n")
    assert imported(house)[0] == [KEPT, BY_PYTHON, KEPT, KEPT, "2", "1"]
    assert imported(house)[0] == [*[KEPT] * 4, "2", "1"]


def test_a_source_of_the_same_time_and_another_size_is_read_again(house: Path) -> None:
    imported(house)
    source = house / "house" / "room.py"
    status = source.stat()
    source.write_text("VALUE = 22\n", encoding="utf-8")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert imported(house)[0] == [KEPT, BY_PYTHON, KEPT, KEPT, "22", "1"]


def test_a_package_takes_the_place_of_a_module(house: Path) -> None:
    imported(house)
    (house / "house" / "room").mkdir()
    (house / "house" / "room" / "__init__.py").write_text("VALUE = 3\n", encoding="utf-8")
    assert imported(house)[0] == [*[BY_PYTHON] * 4, "3", "1"]
    assert imported(house)[0] == [*[KEPT] * 4, "3", "1"]


def test_a_source_that_was_taken_away_is_missed(house: Path) -> None:
    imported(house)
    (house / "house" / "room.py").unlink()
    assert "ModuleNotFoundError" in run(house).stderr


def test_a_copy_of_the_folder_has_code_of_its_own(house: Path) -> None:
    imported(house)
    other = house.with_name("other")
    shutil.copytree(house, other)
    rewrite(other / "house" / "room.py", "VALUE = 4\n")
    assert imported(other)[0] == [*[BY_PYTHON] * 4, "4", "1"]


@pytest.mark.parametrize("size", [0, 1, 100, -1])
def test_half_a_file_is_no_file(house: Path, size: int) -> None:
    imported(house)
    whole = (house / "kept").read_bytes()
    (house / "kept").write_bytes(whole[:size])
    assert imported(house)[0] == [*[BY_PYTHON] * 4, "1", "1"]
    assert imported(house)[0] == [*[KEPT] * 4, "1", "1"]


def test_code_of_another_interpreter_is_left_alone(house: Path) -> None:
    imported(house)
    whole = (house / "kept").read_bytes()
    version = sys.version.encode()
    assert version in whole
    (house / "kept").write_bytes(whole.replace(version, version.replace(b"3.", b"2.")))
    assert imported(house)[0] == [*[BY_PYTHON] * 4, "1", "1"]


def test_nothing_is_kept_where_python_writes_no_bytecode(house: Path) -> None:
    run(house, "-B")
    assert not (house / "kept").exists()


def test_a_folder_that_cannot_be_written_is_no_fault(house: Path) -> None:
    assert run(house, file=house / "missing" / "kept").returncode == 0


def test_a_plan_is_the_same_with_the_bytecode_of_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path))
    command = [sys.executable, "-m", "rlc", "plan", "experiments/quickstart.toml", "--json"]
    first = subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (kept,) = tmp_path.rglob("*.plan")
    before = kept.stat().st_mtime_ns
    assert subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout == first.stdout
    assert kept.stat().st_mtime_ns == before


def imported(house: Path) -> tuple[list[str], str]:
    """Return how a process loaded each module, with two values, and what it knows of the modules."""
    done = run(house)
    assert done.returncode == 0, done.stderr
    first, _, rest = done.stdout.partition("\n")
    return first.split(","), rest


def run(house: Path, *options: str, file: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Import the package in a process of its own."""
    command = [sys.executable, *options, "-c", PROGRAM, str(house), str(file or house / "kept")]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)


def rewrite(source: Path, text: str) -> None:
    """Change a source, two seconds later: Python's own bytecode tells no smaller times apart."""
    status = source.stat()
    source.write_text(text, encoding="utf-8")
    os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns + 2 * 10**9))
