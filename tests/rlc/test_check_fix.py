"""`rlc check --fix`: what is mended, what is left, and that no file gets worse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from rlc.cli.main import main
from rlc.fixing import mend
from tests.compiler.bad_specs import CASES, Case, read_cases

GOOD = """\
rlc = 1
name = "case"
use = ["//recipes:grpo"]

[model]
name = "//models:tiny_qwen3"

[cluster]
target = "cpu"

[run]
max_steps = 10

[rollout]
prompts_per_step = 4
samples_per_prompt = 8
max_response_tokens = 16

[reward]
name = "exact"

[train]
global_batch = 32  # 4 x 8

[[data.train]]
path = "train.jsonl"
"""
STAR = """\
experiment(
    name = "case",
    use = ["//recipes:grpo"],
    model = dict(name = "//models:tiny_qwen3"),
    cluster = dict(target = "cpu"),
    run = dict(max_steps = 10),
    rollout = dict(prompts_per_step = 4, samples_per_prompt = 8, max_response_tokens = 16),
    reward = dict(name = "exact"),
    train = dict(global_batch = 32),
    data = dict(train = [dict(path = "train.jsonl")]),
)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fixed(text: str, *options: str, name: str = "spec.toml") -> str:
    Path(name).write_text(text)
    main(["check", "--fix", name, *options])
    return Path(name).read_text()


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("global_batch = 32", "global_batch = 0"),
        ("samples_per_prompt = 8", "samples_per_promt = 8"),
        ('target = "cpu"', 'target = "cpv"'),
    ],
)
def test_one_mistake_is_mended_and_nothing_else_changes(right: str, wrong: str) -> None:
    after = fixed(GOOD.replace(right, wrong))
    assert main(["check", "spec.toml"]) == 0
    differing = [a for a, b in zip(after.splitlines(), GOOD.splitlines(), strict=True) if a != b]
    assert len(differing) <= 1


def test_several_mistakes_are_mended_in_one_go() -> None:
    wrong = GOOD.replace("samples_per_prompt", "samples_per_promt").replace("max_steps = 10", "max_steps = -1")
    fixed(wrong + '\n[optim]\nname = "sgd"\nbeta2 = 0.9\n')
    assert main(["check", "spec.toml"]) == 0
    assert "beta2" not in Path("spec.toml").read_text()


def test_a_starlark_spec_is_mended_where_its_arguments_stand() -> None:
    wrong = STAR.replace("global_batch = 32", "global_batch = 0").replace("samples_per_prompt", "samples_per_promt")
    after = fixed(wrong, name="spec.star")
    assert main(["check", "spec.star"]) == 0
    assert after == STAR.replace("global_batch = 32", "global_batch = 1")


def test_a_value_of_the_command_line_is_set_in_the_file() -> None:
    after = fixed(GOOD, "--set", "train.global_batch=0")
    assert after == GOOD.replace("global_batch = 32", "global_batch = 1")


def test_a_value_of_a_recipe_is_set_in_the_file() -> None:
    Path("base.toml").write_text("[train]\nglobal_batch = 0\n")
    before = GOOD.replace("[train]\nglobal_batch = 32  # 4 x 8\n", "").replace('grpo"]', 'grpo", "base.toml"]')
    after = fixed(before)
    assert "[train]\nglobal_batch = 1\n" in after
    assert Path("base.toml").read_text() == "[train]\nglobal_batch = 0\n"


def test_diff_shows_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = GOOD.replace("global_batch = 32", "global_batch = 0")
    Path("spec.toml").write_text(before)
    assert main(["check", "--diff", "spec.toml"]) == 1
    told = capsys.readouterr()
    assert "-global_batch = 0  # 4 x 8\n+global_batch = 1  # 4 x 8\n" in told.err
    assert told.out == "1 spec checked: no errors, 1 would be mended\n"
    assert Path("spec.toml").read_text() == before


def test_line_breaks_stay_those_of_the_file() -> None:
    Path("spec.toml").write_bytes(GOOD.replace("= 32", "= 0").replace("\n", "\r\n").encode())
    assert main(["check", "--fix", "spec.toml"]) == 0
    assert Path("spec.toml").read_bytes() == GOOD.replace("= 32", "= 1").replace("\n", "\r\n").encode()


def test_a_warning_is_not_mended() -> None:
    warned = GOOD + '\n[loss.kl]\ncoef = 0.01\nestimator = "k1"\n'
    assert fixed(warned) == warned


def test_what_cannot_be_mended_is_said_and_left(capsys: pytest.CaptureFixture[str]) -> None:
    two = STAR + STAR.replace('"case"', '"b"')
    made = two + 'require("optim.beta1 == 0.8", "it forgets sooner")\n'
    assert fixed(made, name="spec.star") == made
    assert "is not mended here: " in capsys.readouterr().err
    assert fixed("rlc = \n", name="broken.toml") == "rlc = \n"
    assert "error[RLC0101]" in capsys.readouterr().err


def test_a_value_that_a_function_computes_is_replaced_where_it_is_computed() -> None:
    made = "def f():\n    return dict(global_batch = 4 - 4)\n\n" + STAR.replace("dict(global_batch = 32)", "f()")
    assert fixed(made, name="spec.star") == made.replace("4 - 4", "1")


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case.name)
def test_no_case_gets_worse_and_a_second_time_changes_nothing(case: Case, folder: Path) -> None:
    spec = shutil.copytree(CASES, folder / "cases", ignore=_all_but(case)) / case.spec
    before = _badness(spec, case.overrides)
    once = mend(spec, scan(), overrides=case.overrides)
    if once is None:
        return
    spec.write_text(once.after)
    assert _badness(spec, once.overrides) <= before
    twice = mend(spec, scan(), overrides=once.overrides)
    assert twice is not None
    assert twice.after == once.after


def _badness(spec: Path, overrides: tuple[str, ...]) -> tuple[bool, int]:
    """A spec that cannot be read hides what else is wrong with it."""
    compiled = compile_spec(spec, scan(), overrides=overrides)
    return compiled.subject is None, sum(d.severity == "error" for d in compiled.diagnostics)


def _all_but(case: Case) -> Callable[[str, list[str]], set[str]]:
    def ignored(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if Path(folder) == CASES and name != case.spec.parts[0]}

    return ignored


def test_json_says_what_a_tool_could_apply(capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.toml").write_text(GOOD.replace("samples_per_prompt", "samples_per_promt"))
    main(["check", "--format", "json", "spec.toml"])
    ways = [way for found in json.loads(capsys.readouterr().out) for way in found["help"]]
    assert {
        "text": "did you mean `rollout.samples_per_prompt`?",
        "set": {},
        "unset": [],
        "rename": "samples_per_prompt",
        "remove": False,
        "replace": None,
    } in ways


def test_a_format_and_another_one_exclude_each_other() -> None:
    assert main(["check", "--json", "--format", "sarif", "spec.toml"]) == 2
