"""Where `experiment()` may be called: anywhere in a spec, and in what it loads, but not to make a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec, experiments_of
from compiler.frontend.session import Session
from rlc.catalogue import scan

LIBRARY = """\
def base(lr):
    return fragment(optim = dict(lr = lr))

def arms():
    f = base(0.1)
    return [experiment(name = "c%d" % c, use = [f], run = dict(max_steps = c)) for c in (1, 2)]

def arm(x):
    return experiment(name = "x%d" % x, use = [base(x)])

def both():
    arm(7)
    return base(1)

def deep():
    return [both()][0]
"""
LOADS = 'load("lib.star", "arm", "arms", "base", "both", "deep")\n'


def names(folder: Path, text: str) -> tuple[str, ...]:
    (folder / "lib.star").write_text(LIBRARY)
    (folder / "spec.star").write_text(LOADS + text)
    return experiments_of(folder / "spec.star", Session(scan().stdlib))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("arms()\n", ("c1", "c2")),
        ("arms()\narm(1)\narm(2)\n", ("c1", "c2", "x1", "x2")),
        ("SHARED = base(3)\n[experiment(name = n, use = [SHARED, base(4)]) for n in ['a', 'b']]\n", ("a", "b")),
        ("f = both()\narm(1)\n", ("x7", "x1")),
    ],
)
def test_functions_may_make_experiments_and_fragments_for_them(
    tmp_path: Path, text: str, expected: tuple[str, ...]
) -> None:
    assert names(tmp_path, text) == expected


@pytest.mark.parametrize("recipe", ["both()", "both", "deep()"])
def test_a_recipe_that_makes_an_experiment_is_an_error(tmp_path: Path, recipe: str) -> None:
    names(tmp_path, f'experiment(name = "a", use = [{recipe}])\n')
    (found,) = compile_spec(tmp_path / "spec.star", scan()).diagnostics
    assert (found.code, found.message) == ("RLC0159", "a recipe makes an experiment x7")
    assert [label.span.file.name.rpartition("/")[2] for label in found.labels] == ["spec.star", "lib.star"]
