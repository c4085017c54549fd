"""The checks of `./do check`: on this tree, and on small trees that break one rule each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from checks import debt, environment, habits, rooms, sizes, words
from checks.tree import ROOT

NO_DEBT = "".join(f"{kind} = 0\n" for kind in debt.KINDS)


@pytest.mark.parametrize("part", [sizes, habits, words, rooms, debt], ids=lambda part: part.__name__)
def test_this_tree_keeps_the_rules(part: ModuleType) -> None:
    assert [str(finding) for finding in part.check(ROOT)] == []


def test_a_file_of_501_lines_is_too_long(tmp_path: Path) -> None:
    _tree(tmp_path, {"runtime/fits.py": "x = 1\n" * 500, "runtime/long.py": "x = 1\n" * 501})
    assert _texts(sizes, tmp_path) == ["runtime/long.py: 501 lines, at most 500"]


def test_a_function_of_81_lines_is_too_long_wherever_it_stands(tmp_path: Path) -> None:
    fits = "async def fits():\n" + "    pass\n" * 79
    inner = "class A:\n    def grown(self):\n" + "        pass\n" * 80
    _tree(tmp_path, {"compiler/a.py": fits, "stdlib/b.py": inner})
    assert _texts(sizes, tmp_path) == ["stdlib/b.py:2: grown has 81 lines, at most 80"]


def test_the_largest_files_are_named_longest_first(tmp_path: Path) -> None:
    _tree(tmp_path, {"rlc/a.py": "\n" * 3, "rlc/b.py": "\n" * 9, "targets/c.py": "\n" * 5})
    assert sizes.largest_files(tmp_path, most=2) == [(9, "rlc/b.py"), (5, "targets/c.py")]


@pytest.mark.parametrize(
    ("path", "source", "finding"),
    [
        ("rlc/new/a.py", '"""Doc."""\n', "rlc/new/a.py: stands in a folder without __init__.py"),
        ("rlc/utils.py", '"""Doc."""\n', "rlc/utils.py: 'utils' names no idea"),
        ("rlc/a.py", "x = 1\n", "rlc/a.py:1: a module opens with a docstring that says what it is"),
        ("rlc/a.py", '"""Doc."""\nseen: dict[str, int] = {}\n', "rlc/a.py:2: an empty container"),
        ("rlc/a.py", '"""Doc."""\nseen = set()\n', "rlc/a.py:2: an empty container"),
        ("rlc/a.py", '"""Doc."""\ndef f():\n    global x\n', "rlc/a.py:3: a function does not write to its module"),
        ("rlc/a.py", '"""Doc."""\nx = "\u2500"\n', "rlc/a.py:2: not plain ASCII: \u2500"),
    ],
)
def test_a_broken_habit_is_found(tmp_path: Path, path: str, source: str, finding: str) -> None:
    _tree(tmp_path, {"rlc/__init__.py": '"""Doc."""\n', path: source})
    (found,) = _texts(habits, tmp_path)
    assert found.startswith(finding)


def test_what_draws_may_hold_the_characters_that_it_draws_with(tmp_path: Path) -> None:
    _tree(
        tmp_path,
        {
            "compiler/diagnostics/__init__.py": '"""Doc."""\n',
            "compiler/diagnostics/text.py": '"""Doc."""\nBAR = "\u2502"\n',
        },
    )
    assert _texts(habits, tmp_path) == []


@pytest.mark.parametrize(
    "line",
    [
        "cd /ho" + "me/ada/rlc",
        "log: /tm" + "p/x.log",
        "(/wo" + "rk/main)",
        "https://py" + "pi.org/simple",
        "pip install --index" + "-url x",
        "pip install --extra-index" + "-url x",
    ],
)
def test_an_address_of_one_machine_or_registry_is_found(tmp_path: Path, line: str) -> None:
    _tree(tmp_path, {"docs/a.md": f"fine\n{line}\n"})
    (found,) = _texts(words, tmp_path)
    assert found.startswith("docs/a.md:2: ")


@pytest.mark.parametrize(
    "line", ["runtime/work/a.py", "https://example.org/home/a", "~/work/rlc", "/tmp/ray", "{root}/home/x"]
)
def test_other_paths_are_not_taken_for_one_machine(tmp_path: Path, line: str) -> None:
    _tree(tmp_path, {"docs/a.md": line})
    assert _texts(words, tmp_path) == []


def test_files_that_git_ignores_and_binary_files_are_not_read(tmp_path: Path) -> None:
    bad = "/ho" + "me/ada"
    _tree(tmp_path, {".gitignore": "/runs/\n", "runs/log.txt": bad, "weights.bin": f"\0{bad}"})
    assert _texts(words, tmp_path) == []


def test_a_tree_without_a_map_is_told_so(tmp_path: Path) -> None:
    _tree(tmp_path, {"rlc/a.py": ""})
    assert _texts(rooms, tmp_path) == ["ARCHITECTURE.md: there is no such page"]


def test_the_map_names_each_top_level_folder_and_only_folders_that_exist(tmp_path: Path) -> None:
    page = "- `rlc/` the front door\n- `compiler/passes/` and `rlc/gone/`, but not `targets/<name>/` or `a/b.py`\n"
    _tree(tmp_path, {"ARCHITECTURE.md": page, "rlc/a.py": "", "compiler/passes/a.py": "", "docs/a.md": ""})
    assert _texts(rooms, tmp_path) == [
        "ARCHITECTURE.md:2: names `rlc/gone/`, where there is no file",
        "ARCHITECTURE.md: does not name the top-level folder `compiler/`",
        "ARCHITECTURE.md: does not name the top-level folder `docs/`",
    ]


@pytest.mark.parametrize(
    ("kind", "source"),
    [
        ("type_ignores", "x = 1  # type: " + "ignore[assignment]\n"),
        ("noqas", "x = 1  # no" + "qa: E501\n"),
        ("todos", "# TO" + "DO: later\n"),
        ("skipped_tests", "@pytest.mark.skipif(True, reason='x')\ndef test_x(): ...\n"),
        ("skipped_tests", "torch = pytest.importorskip('torch')\n"),
        ("broad_excepts", "try:\n    f()\nexcept (OSError, Exception):\n    pass\n"),
        ("environ_reads", "x = os.environ['HOME']\n"),
        ("long_signatures", "def f(a, b, c, d, e, f, g): ...\n"),
    ],
)
def test_debt_is_counted_once(tmp_path: Path, kind: str, source: str) -> None:
    _tree(tmp_path, {"runtime/a.py": source, debt.RECORD: NO_DEBT})
    assert debt.counts(tmp_path) == {kind: 1}
    assert _texts(debt, tmp_path)[0] == f"checks/debt.toml: {kind} = 0, but there are 1:"


@pytest.mark.parametrize(
    "source",
    [
        "x = 'no" + "qa, TO" + "DO'\n",
        "class A:\n    def f(self, a, b, c, d, e, f): ...\n",
        "try:\n    f()\nexcept OSError:\n    pass\n",
    ],
)
def test_what_only_looks_like_debt_is_not_counted(tmp_path: Path, source: str) -> None:
    _tree(tmp_path, {"runtime/a.py": source})
    assert debt.counts(tmp_path) == {}


def test_the_options_of_a_verb_are_no_long_signature(tmp_path: Path) -> None:
    _tree(tmp_path, {"rlc/cli/plan.py": "def plan(a, b, c, d, e, f, g): ...\n"})
    assert debt.counts(tmp_path) == {}


def test_environ_py_is_the_place_to_read_the_environment(tmp_path: Path) -> None:
    _tree(tmp_path, {"rlc/environ.py": "import os\nx = os.environ['NO_COLOR']\n"})
    assert debt.counts(tmp_path) == {}


def test_the_record_of_debt_must_be_lowered_when_debt_is_paid(tmp_path: Path) -> None:
    _tree(tmp_path, {debt.RECORD: NO_DEBT.replace("todos = 0", "todos = 2")})
    assert _texts(debt, tmp_path) == ["checks/debt.toml: todos = 2, but there are only 0: lower the record"]


def test_a_missing_package_and_another_version_are_named(tmp_path: Path) -> None:
    core, extra = '[project]\nname = "rlc"\ndependencies = ["pytest>=9"]', 'optional-dependencies.cpu = ["no-such-x"]'
    _tree(tmp_path, {"pyproject.toml": f"{core}\n{extra}\n", "constraints/cpu.txt": "# pins\nPyTest==0.1\n"})
    faults = [f for f in environment.faults(tmp_path, ["cpu"]) if not f.startswith("rlc ")]
    assert faults == [f"pytest is {pytest.__version__}, not 0.1", "no-such-x is not installed"]


def test_a_package_for_other_systems_and_other_pythons_is_not_missed(tmp_path: Path) -> None:
    others = ["no-such-x>=1; python_version < '3.9' and sys_platform == 'linux'", "no-such-y; sys_platform == 'none'"]
    mine = f"no-such-z; python_version < '9.10' and sys_platform == '{sys.platform}'"
    core = '[project]\nname = "rlc"\ndependencies = []\noptional-dependencies.cpu = '
    _tree(tmp_path, {"pyproject.toml": core + json.dumps([*others, mine]), "constraints/cpu.txt": ""})
    faults = [f for f in environment.faults(tmp_path, ["cpu"]) if not f.startswith("rlc ")]
    assert faults == ["no-such-z is not installed"]


def _tree(root: Path, files: dict[str, str]) -> None:
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _texts(part: ModuleType, root: Path) -> list[str]:
    return [str(finding) for finding in part.check(root)]
