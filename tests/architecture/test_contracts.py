"""The house's own kinds of import contract, on a small tree in which each is broken once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from checks.tree import ROOT

CONTRACTS = """
[tool.importlinter]
root_packages = ["house", "guests"]
exclude_type_checking_imports = true
contract_types = ["door: checks.contracts.DoorContract", "strangers: checks.contracts.StrangersContract"]

[[tool.importlinter.contracts]]
name = "guests come through the door"
type = "door"
importers = ["guests"]
house = "house"
open_modules = ["house.door"]

[[tool.importlinter.contracts]]
name = "guests do not know each other"
type = "strangers"
folders = ["guests", "not.yet.there"]
"""

LINT = """
import sys
from importlinter.cli import lint_imports_command
sys.path.append(sys.argv.pop(1))
lint_imports_command()
"""

KEPT = {
    "house/__init__.py": "",
    "house/cellar.py": "import house.door\n",
    "house/door.py": "",
    "guests/__init__.py": "",
    "guests/_shared.py": "",
    "guests/ada.py": "import house.door\nfrom guests import _shared\n",
    "guests/bob/__init__.py": "import guests.bob.kit\n",
    "guests/bob/kit.py": "",
}


def test_contracts_hold_on_a_tree_that_keeps_them(tmp_path: Path) -> None:
    done = _lint(tmp_path, KEPT)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


def test_an_import_past_the_door_is_named_with_its_line(tmp_path: Path) -> None:
    done = _lint(tmp_path, KEPT | {"guests/ada.py": "import house.door\nfrom house import cellar\n"})
    assert done.returncode == 1
    assert "guests.ada -> house.cellar (l.2): from house import cellar" in done.stdout
    assert "1 kept, 1 broken" in done.stdout


def test_the_house_itself_is_closed_unless_it_is_open(tmp_path: Path) -> None:
    done = _lint(tmp_path, KEPT | {"guests/ada.py": "import house\n"})
    assert "guests.ada -> house (l.1)" in done.stdout


def test_an_import_between_strangers_is_named(tmp_path: Path) -> None:
    done = _lint(tmp_path, KEPT | {"guests/ada.py": "from guests.bob import kit\n"})
    assert done.returncode == 1
    assert "guests.ada -> guests.bob.kit (l.1)" in done.stdout


def test_an_import_for_the_type_checker_is_free(tmp_path: Path) -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house import cellar\n"
    assert _lint(tmp_path, KEPT | {"guests/ada.py": source}).returncode == 0


def _lint(root: Path, files: dict[str, str]) -> subprocess.CompletedProcess[str]:
    for path, text in (files | {"pyproject.toml": CONTRACTS}).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", LINT, str(ROOT), "--no-cache"]
    return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)
