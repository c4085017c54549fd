"""What is kept of files, within a process and from one to the next: it changes nothing that is said."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.loader import load
from compiler.frontend.session import Session
from compiler.frontend.value import Node, Table, plain
from rlc.catalogue import scan

ROOT = Path(__file__).parents[3]
QUICKSTART = ROOT / "experiments/quickstart.toml"
BASE = "def base(lr = 1e-5):\n    return fragment(optim = dict(lr = lr))\n"


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    for name, text in {
        "stdlib/recipes/base.star": 'load("rate.star", "rate")\n' + BASE.replace("1e-5", "rate()"),
        "stdlib/recipes/rate.star": "def rate():\n    return 1e-5\n",
        "exp/a.toml": 'use = ["//recipes:base"]\nname = "a"\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def value_of(lab: Path, session: Session | None = None) -> Table:
    reporter = Reporter()
    session = session or Session(lab / "stdlib", lab / "cache")
    found = load(lab / "exp/a.toml", (), session, reporter)
    assert reporter.diagnostics == []
    assert found is not None
    return found.value


def places(node: Node) -> list[tuple[str, int, int]]:
    found = [(node.span.file.name, node.span.start, node.span.end)]
    if isinstance(node, Table):
        for entry in node.entries.values():
            key = entry.key_span
            found += [(key.file.name, key.start, key.end), *places(entry.node)]
    return found


def test_a_tree_that_was_kept_says_the_same_at_the_same_places(lab: Path) -> None:
    cold, warm = value_of(lab), value_of(lab)
    assert list((lab / "cache").rglob("*"))
    assert plain(cold) == plain(warm) == {"name": "a", "optim": {"lr": 1e-5}}
    assert places(cold) == places(warm)


@pytest.mark.parametrize("changed", ["stdlib/recipes/base.star", "stdlib/recipes/rate.star"])
def test_what_was_kept_is_not_used_when_a_text_it_was_made_of_has_changed(lab: Path, changed: str) -> None:
    value_of(lab)
    path = lab / changed
    path.write_text(path.read_text().replace("lr = rate()", "lr = 2e-5").replace("1e-5", "2e-5"))
    assert plain(value_of(lab)) == {"name": "a", "optim": {"lr": 2e-5}}


def test_a_damaged_file_of_the_cache_is_made_again(lab: Path) -> None:
    before = plain(value_of(lab))
    for file in (lab / "cache").rglob("*.tree"):
        file.write_bytes(file.read_bytes()[:-3] + b"???")
    assert plain(value_of(lab)) == before


def test_a_cache_that_cannot_be_written_is_no_error(lab: Path) -> None:
    (lab / "cache").write_text("a file")
    assert plain(value_of(lab)) == {"name": "a", "optim": {"lr": 1e-5}}


def test_a_date_is_read_though_it_cannot_be_kept(lab: Path) -> None:
    (lab / "exp/a.toml").write_text("when = 2020-01-01\n")
    assert plain(value_of(lab)) == plain(value_of(lab))


def test_a_session_reads_a_file_once_and_gives_each_use_places_of_its_own(lab: Path) -> None:
    session = Session(lab / "stdlib")
    first = value_of(lab, session)
    (lab / "stdlib/recipes/base.star").write_text("this is read no more")
    second = value_of(lab, session)
    assert plain(first) == plain(second)
    assert first.span.file is second.span.file
    assert first.entries["name"].key_span is not second.entries["name"].key_span


def test_a_warm_plan_loads_no_parser_and_no_interpreter(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from compiler.compile import compile_spec; from rlc.catalogue import scan;"
        "assert compile_spec(Path(sys.argv[1]), scan()).plan is not None;"
        "print(*sorted(m for m in sys.modules if m.startswith(('lark', 'tomli', 'hashlib', 'compiler.frontend'))))"
    )
    variables = (f"RLC_CACHE_DIR={tmp_path}", f"PYTHONPATH={ROOT}")
    command = ("env", *variables, sys.executable, "-c", program, str(QUICKSTART))
    cold, warm = (subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(2))
    assert "tomli" in cold
    assert "compiler.frontend.universe.modules" in cold
    stranger = [name for name in warm if name.startswith(("lark", "tomli", "hashlib", "compiler.frontend.universe"))]
    assert stranger == []
    assert [name for name in warm if name.startswith("compiler.frontend.starlark.")] == [
        "compiler.frontend.starlark.tree_cache"
    ]


def test_the_plan_of_a_shipped_spec_is_the_same_without_a_cache() -> None:
    plans = [compile_spec(QUICKSTART, scan()._replace(cache=cache)).plan for cache in (None, scan().cache)]
    assert plans[0] == plans[1]
