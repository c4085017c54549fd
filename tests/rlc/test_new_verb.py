"""`rlc new`: what it writes is right as it is, and nothing is overwritten."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.span import SourceFile
from compiler.format.source import format_source
from compiler.frontend.roots import library_names
from rlc.catalogue import scan
from rlc.cli.main import main
from rlc.templates import next_free_code, rule_file

CATALOGUE = scan()
RECIPES = library_names("recipes", CATALOGUE.stdlib)
MODELS = library_names("models", CATALOGUE.stdlib)
# What only the user can decide: what has no default, and another target where this one has no engine for the model.
TO_FILL_IN = {"RLC0205", "RLC0313", "RLC0502"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("star", [[], ["--star"]], ids=["toml", "star"])
@pytest.mark.parametrize("recipe", RECIPES)
def test_an_experiment_of_every_recipe_compiles_and_is_laid_out(recipe: str, star: list[str]) -> None:
    assert main(["new", "experiment", "mine", "--recipe", recipe, *star]) == 0
    (path,) = Path().iterdir()
    # A teacher's directory is for its owner to fill in.
    assert {d.code for d in compile_spec(path, CATALOGUE).diagnostics} <= {"RLC0397"}
    text = path.read_text()
    assert format_source(SourceFile(path.name, text), None) == text


@pytest.mark.parametrize("file", ["mine.toml", "mine.star"])
def test_a_file_may_be_named_as_well(file: str) -> None:
    assert main(["new", "experiment", file]) == 0
    assert [path.name for path in Path().iterdir()] == [file]


@pytest.mark.parametrize("model", MODELS)
def test_an_experiment_of_every_model_compiles_or_says_what_is_missing(model: str) -> None:
    assert main(["new", "experiment", "mine", "--model", model]) == 0
    codes = {d.code for d in compile_spec(Path("mine.toml"), CATALOGUE).diagnostics if d.severity == "error"}
    assert codes <= TO_FILL_IN


@pytest.mark.parametrize("target", CATALOGUE.targets)
def test_an_experiment_of_every_target_compiles_or_says_what_is_missing(
    target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "experiment", "mine", "--target", target]) == 0
    compiled = compile_spec(Path("mine.toml"), CATALOGUE)
    printed = capsys.readouterr()
    for diagnostic in compiled.diagnostics:
        assert f"[{diagnostic.code}]: {diagnostic.message}" in printed.err
    assert ("rlc plan" if compiled.plan is not None else "fill in") in printed.out


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("experiment a/b", "RLC0032"),
        ("experiment a --recipe gpro", "RLC0031"),
        ("experiment a --model qwen", "RLC0031"),
        ("experiment a --target tpu", "RLC0031"),
        ("rule Not-Python", "RLC0032"),
        ("reward 1st", "RLC0032"),
        ("rule some_rule", "RLC0033"),
    ],
)
def test_what_cannot_be_is_a_diagnostic_and_writes_nothing(
    line: str, code: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", *line.split()]) == 1
    assert f"error[{code}]" in capsys.readouterr().err
    assert list(folder.iterdir()) == []


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("mine.toml").write_text("mine\n")
    assert main(["new", "experiment", "mine"]) == 1
    assert "error[RLC0030]: mine.toml is there already" in capsys.readouterr().err
    assert Path("mine.toml").read_text() == "mine\n"


def test_a_reward_is_one_that_a_spec_can_name() -> None:
    assert main(["new", "reward", "contains"]) == 0
    assert main(["new", "experiment", "mine"]) == 0
    spec = Path("mine.toml")
    spec.write_text(spec.read_text().replace('"exact"', '"contains.py:reward"'))
    assert compile_spec(spec, CATALOGUE).diagnostics == ()


def test_a_rule_brings_a_case_and_a_test_with_the_next_free_code(folder: Path) -> None:
    for name in ("compiler/rules", "compiler/diagnostics/pages", "tests/cases", "tests/compiler/rules"):
        (folder / name).mkdir(parents=True)
    (folder / "compiler/rules/other.py").write_text('CODE = "RLC0316"\n')
    (folder / "compiler/diagnostics/pages/RLC0318.md").write_text("")
    assert main(["new", "rule", "steps_are_few"]) == 0
    rule = (folder / "compiler/rules/steps_are_few.py").read_text()
    assert 'CODE = "RLC0319"' in rule
    case = folder / "tests/cases/RLC0319_steps_are_few.toml"
    found = {}
    exec(compile(rule, "rule", "exec"), found)
    subject = compile_spec(case, CATALOGUE).subject
    raised = [diagnostic.code for diagnostic in found["check"](subject)]
    assert raised == ["RLC0319"]
    ast.parse((folder / "tests/compiler/rules/test_steps_are_few.py").read_text())


def test_the_docstring_of_a_new_rule_is_a_page() -> None:
    docstring = ast.get_docstring(ast.parse(rule_file("some_rule", "RLC0399"))) or ""
    assert [line.partition(":")[0] for line in docstring.splitlines()[2:]] == [
        "What",
        "Why it matters",
        "Example",
        "Fix",
        "Source",
    ]


def test_the_next_free_code_of_this_checkout_is_free() -> None:
    project = Path(__file__).parents[2]
    pages = project / "compiler" / "diagnostics" / "pages"
    code = next_free_code(project / "compiler" / "rules", pages)
    assert code.startswith("RLC03")
    assert not (pages / f"{code}.md").exists()
