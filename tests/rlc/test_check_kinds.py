"""`rlc check` of recipes, models, policies, libraries and rlc.toml: each as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.frontend.session import Session
from rlc.catalogue import scan
from rlc.checking import check_file, kind_of
from rlc.cli.main import main
from rlc.editor.compiling import analysed
from tests.compiler.frontend.test_further_roots import FACTS, laid_out
from tests.rlc.test_check_fix import GOOD

Captured = pytest.CaptureFixture[str]

RECIPE = (
    'load("//recipes:grpo.star", "grpo")\n\n'
    "def house(lr = 1e-6):\n    return fragment(use = [grpo()], optim = dict(lr = lr))\n"
)
MODEL = (
    'load("facts.star", "TINY")\n\n'
    'def house_small(**changes):\n    return model(name = "house", facts = TINY, changes = changes)\n'
)
FILES = {
    "rlc.toml": 'policy = ["policies/lab.star"]\n',
    "spec.toml": GOOD,
    "base.toml": "[optim]\nlr = 1e-6\n",
    "recipes/house.star": RECIPE,
    "recipes/other.toml": 'use = ["house.star"]\n[cluster]\nnodes = 1\n',
    "models/house.star": MODEL,
    "models/facts.star": FACTS,
    "policies/lab.star": 'require("optim.lr <= 1", "small steps")\n',
    "policies/more.star": 'require("forecast.parameters > 0", "a model")\nrequire("parallel.dp >= 1", "copies")\n',
    "lib.star": "def twice(x):\n    return 2 * x\n",
}
KINDS = {
    "rlc.toml": "marker",
    "spec.toml": "spec",
    "base.toml": "recipe",
    "recipes/house.star": "recipe",
    "recipes/other.toml": "recipe",
    "models/house.star": "model",
    "models/facts.star": "model",
    "policies/lab.star": "policy",
    "policies/more.star": "policy",
    "lib.star": "library",
}


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    laid_out(tmp_path, FILES)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_known_for_what_it_is_and_right_as_that(lab: Path, name: str) -> None:
    del lab
    catalogue = scan()
    assert kind_of(Path(name), Session(catalogue.stdlib, catalogue.cache)) == KINDS[name]
    (checked,) = check_file(Path(name), catalogue)
    assert (checked.kind, checked.diagnostics) == (KINDS[name], ())


def test_a_folder_and_its_files_give_the_same_sum(lab: Path, capsys: Captured) -> None:
    (lab / "pyproject.toml").write_text('[project]\nname = "x"\n')
    (lab / ".venv").mkdir()
    (lab / ".venv/broken.toml").write_text("[")
    for line in (["."], list(FILES)):
        assert main(["check", *line]) == 0
        said = "1 spec, 3 recipes, 2 models, 2 policies, 1 library checked: no errors\n"
        assert capsys.readouterr().out == said


@pytest.mark.parametrize(
    ("name", "text", "code"),
    [
        ("base.toml", "[optim]\nlearning_rate = 1e-6\n", "RLC0201"),
        ("base.toml", "[optim]\nlr = 'fast'\n", "RLC0203"),
        ("base.toml", "[rollout]\nsamples_per_prompt = 0\n", "RLC0204"),
        ("base.toml", "[rollout]\nmax_response_tokens = '8k'\n", "RLC0401"),
        ("base.toml", 'use = ["gone.toml"]\n', "RLC0001"),
        ("base.toml", "[optim\n", "RLC0101"),
        ("recipes/house.star", RECIPE.replace("def house", "def hose"), "RLC0155"),
        ("recipes/house.star", RECIPE.replace("lr = 1e-6", "lr"), "RLC0155"),
        ("recipes/house.star", RECIPE.replace("optim =", "optin ="), "RLC0201"),
        ("recipes/house.star", RECIPE.replace("grpo.star", "gpro.star"), "RLC0010"),
        ("recipes/house.star", "def house(:\n", "RLC0124"),
        ("recipes/house.star", 'def house():\n    experiment(name = "x")\n    return fragment()\n', "RLC0159"),
        ("models/house.star", MODEL.replace("TINY,", "TINY | dict(layers = 3),"), "RLC0201"),
        ("models/house.star", MODEL.replace("model(name", "fragment(name"), "RLC0155"),
        ("models/tiny.toml", "[optim]\nlr = 1\n", "RLC0013"),
        ("policies/more.star", 'require("optim.rate <= 1", "small steps")\n', "RLC0221"),
        ("policies/more.star", 'require("optim.lr <=", "small steps")\n', "RLC0120"),
        ("policies/lab.star", "x = 1\n", "RLC0326"),
        ("rlc.toml", 'policy = "gone.star"\n', "RLC0001"),
        ("rlc.toml", "colour = 1\n", "RLC0014"),
        ("rlc.toml", '[roots]\nlab = "gone"\n', "RLC0034"),
        ("lib.star", "x = 1 / 0\n", "RLC0150"),
        ("spec.toml", GOOD.replace("= 32", "= 33"), "RLC0303"),
        ("spec.toml", "rlc = 1\n", "RLC0205"),
    ],
)
def test_what_is_wrong_with_it_is_said(lab: Path, name: str, text: str, code: str) -> None:
    (lab / name).write_text(text)
    found = {d.code for checked in check_file(Path(name), scan()) for d in checked.diagnostics}
    assert code in found
    assert "RLC0156" not in found
    assert name == "spec.toml" or found == {code}


def test_a_file_that_makes_nothing_at_all_is_no_library(lab: Path, capsys: Captured) -> None:
    (lab / "empty.star").write_text("# nothing yet\n")
    assert main(["check", "empty.star"]) == 1
    assert "RLC0156" in capsys.readouterr().err


def test_recipes_of_the_library_are_right_as_recipes() -> None:
    catalogue = scan()
    for folder in ("recipes", "models"):
        for file in sorted((catalogue.stdlib / folder).iterdir()):
            if file.suffix in (".toml", ".star"):
                (checked,) = check_file(file, catalogue)
                assert (checked.kind, checked.diagnostics) == (folder.removesuffix("s"), ()), file


def test_an_editor_says_the_same_of_the_open_text(lab: Path) -> None:
    file, catalogue = lab / "recipes/house.star", scan()
    assert analysed(file, {file: RECIPE}, catalogue).diagnostics == ()
    (found,) = analysed(file, {file: RECIPE.replace("optim =", "optin =")}, catalogue).diagnostics
    assert found.code == "RLC0201"
    policy = lab / "policies/more.star"
    (found,) = analysed(policy, {policy: 'require("optim.rate > 0", "x")\n'}, catalogue).diagnostics
    assert found.code == "RLC0221"
