"""Verbs and the language server know the further roots that the rlc.toml of the working directory names."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.frontend.roots import MARKER
from rlc.catalogue import scan
from rlc.cli.completion import complete_model, complete_recipe
from rlc.cli.main import main
from rlc.editor.compiling import analysed, path_of_source
from rlc.editor.completion import Vocabulary
from rlc.editor.context import toml_context
from tests.compiler.frontend.test_further_roots import FILES, SPEC, laid_out
from tests.support.tiny_experiment import SPEC as TINY
from tests.support.tiny_experiment import write_experiment

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a root beside another one that it calls `lab`."""
    laid_out(
        tmp_path / "lab", {**FILES, "recipes/house.toml": "# What the house does.\n" + FILES["recipes/house.toml"]}
    )
    laid_out(tmp_path / "home", {"rlc.toml": '[roots]\nlab = "../lab"\n', "exp/spec.toml": SPEC})
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"


def test_recipes_of_a_root_are_listed_behind_those_of_the_library(home: Path, capsys: Captured) -> None:
    del home
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split(None, 1) == ["@lab//recipes:house", "What the house does."]
    for name in ("house", "@lab//recipes:house"):
        assert main(["recipes", name]) == 0
        assert "[[data.train]]" in capsys.readouterr().out
    assert main(["recipes", "@lab//recipes:hause"]) == 1
    assert "did you mean @lab//recipes:house or" in capsys.readouterr().err


def test_models_of_a_root_are_listed_with_their_parameters(home: Path, capsys: Captured) -> None:
    del home
    assert main(["models"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].split()[:3] == ["@lab//models:house_small", "qwen3", "1"]
    assert main(["models", "@lab//models:house_small", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert (model["label"], model["file"]) == ("@lab//models:house_small", "@lab//models/house.star")


def test_a_marker_that_is_wrong_is_said(home: Path, capsys: Captured) -> None:
    (home / MARKER).write_text('[roots]\nlab = "nowhere"\n')
    assert main(["recipes"]) == 1
    assert "RLC0034" in capsys.readouterr().err


def test_a_new_experiment_may_begin_with_what_a_root_has(home: Path, capsys: Captured) -> None:
    assert main(["new", "experiment", "mine", "--recipe", "house", "--model", "house_small"]) == 0
    text = (home / "mine.toml").read_text()
    assert 'use = ["@lab//recipes:house"]' in text
    assert 'name = "@lab//models:house_small"' in text
    assert "checkpoints/house_small" in text
    del capsys


def test_a_value_is_explained_with_its_file(home: Path, capsys: Captured) -> None:
    del home
    assert main(["explain", "exp/spec.toml", "optim.lr"]) == 0
    assert "@lab//recipes/house.toml:5" in capsys.readouterr().out


def test_labels_of_a_root_are_offered(home: Path) -> None:
    del home
    assert complete_recipe("@lab") == ["@lab//recipes:base", "@lab//recipes:house"]
    assert complete_model("@lab") == ["@lab//models:house_small"]
    assert complete_recipe("grp") == ["grpo"]


def test_the_editor_proposes_labels_and_finds_where_a_value_comes_from(home: Path) -> None:
    file = home / "exp/spec.toml"
    text = SPEC + "\n[optim]\nlr = 0.5\n"
    analysis = analysed(file, {file: text}, scan())
    assert analysis.diagnostics == ()
    context = toml_context('use = ["')
    assert context is not None
    shown = Vocabulary(scan()).proposals(context, is_starlark=False, roots=analysis.roots)
    assert any("@lab//recipes:house" in proposal.text for proposal in shown)
    at = analysis.field_at(text.index("0.5"))
    assert at is not None
    found = [path_of_source(span.file, analysis) for span in analysis.origins_of(at)]
    assert home.parent / "lab/recipes/house.toml" in found


def test_an_open_marker_is_judged_as_one_and_holds_for_the_open_specs(home: Path) -> None:
    marker, spec = home / MARKER, home / "exp/spec.toml"
    texts = {spec: SPEC, marker: '[roots]\nlob = "../lab"\n'}
    assert analysed(marker, texts, scan()).diagnostics == ()
    assert {d.code for d in analysed(spec, texts, scan()).diagnostics} == {"RLC0010"}
    texts[marker] = '[roots]\nlab = "../lob"\n'
    (found,) = analysed(marker, texts, scan()).diagnostics
    assert found.code == "RLC0034"
    assert analysed(marker, texts, scan()).is_here(found.labels[0].span.file)


def test_the_marker_is_laid_out_and_not_checked_as_a_spec(home: Path, capsys: Captured) -> None:
    (home / MARKER).write_text('[roots]\nlab="../lab"\n')
    assert main(["fmt", "."]) == 0
    assert (home / MARKER).read_text() == '[roots]\nlab = "../lab"\n'
    assert main(["check", "."]) == 0
    assert "1 spec checked: no errors" in capsys.readouterr().out


def test_data_and_code_of_a_root_run(home: Path, capsys: Captured) -> None:
    write_experiment(home.parent / "lab/tiny")
    spec = TINY.replace('"judge.py:reward"', '"@lab//tiny:judge.py:reward"')
    for name in ("sums.jsonl", "heldout.jsonl"):
        spec = spec.replace(f'"{name}"', f'"@lab//tiny:{name}"')
    (home / "exp/tiny.toml").write_text(spec)
    assert main(["check", "--data", "exp/tiny.toml"]) == 0
    assert main(["run", "exp/tiny.toml", "--run-dir", "here"]) == 0
    assert main(["plan", "exp/tiny.toml", "-o", "tiny.json"]) == 0
    assert main(["run", "tiny.json", "--run-dir", "there"]) == 0
    capsys.readouterr()
    (home.parent / "lab/tiny/judge.py").write_text("def reward(sample):\n    return 0.0\n")
    assert main(["run", "tiny.json", "--run-dir", "elsewhere"]) == 1
    assert "RLC0611" in capsys.readouterr().err
