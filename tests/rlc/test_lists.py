"""`rlc recipes` and `rlc rules`: everything that there is, once."""

from __future__ import annotations

import json

import pytest

from compiler.explain import all_pages
from compiler.frontend.roots import library_names
from rlc.catalogue import scan
from rlc.cli.main import main
from rlc.cli.table import aligned

Captured = pytest.CaptureFixture[str]


def test_columns_are_lined_up_and_nothing_trails() -> None:
    assert aligned([("a", "bb", "c"), ("ddd", "", "e"), ("f", "g", "")]) == "a    bb  c\nddd      e\nf    g"
    assert aligned([]) == ""


def test_every_recipe_is_listed_with_its_first_line(capsys: Captured) -> None:
    assert main(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [r["label"] for r in listed] == [f"//recipes:{n}" for n in library_names("recipes", scan().stdlib)]
    assert all(r["summary"].endswith(".") for r in listed)
    assert main(["recipes"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{r['label']} " in shown and r["summary"] in shown for r in listed)


def test_parameters_of_a_recipe_have_the_defaults_that_its_file_says(capsys: Captured) -> None:
    assert main(["recipes", "grpo", "--json"]) == 0
    (recipe,) = json.loads(capsys.readouterr().out)
    assert recipe["parameters"]["clip_high"] == "0.28"
    assert recipe["parameters"]["reduction"] == '"token"'


def test_a_recipe_by_name_or_label_is_its_text(capsys: Captured) -> None:
    for name in ("grpo", "//recipes:grpo"):
        assert main(["recipes", name]) == 0
        assert "def grpo(" in capsys.readouterr().out
    assert main(["recipes", "gpro"]) == 1
    assert "did you mean grpo?" in capsys.readouterr().err


def test_every_code_is_listed_once(capsys: Captured) -> None:
    assert main(["rules", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(r["code"], r["id"], r["title"]) for r in listed] == [(p.code, p.id, p.title) for p in all_pages()]
    assert {r["severity"] for r in listed} == {"error", "warning"}
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [p.code for p in all_pages()]
