"""An organisation's policy: what every plan below a root, or on a command line, must satisfy."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from compiler.diagnostics.diagnostic import Diagnostic
from rlc.catalogue import scan
from tests.compiler.constraints.test_references import GROUP, of_stages
from tests.support.good_spec import compiled

SMALL_RATE = 'require("optim.lr <= 1e-7", "small steps")\n'


def told(folder: Path, *policies: Path, shrink: bool = False) -> tuple[Diagnostic, ...]:
    """Return what is said of the good spec in a folder, with policies of a command line."""
    if not (folder / "spec.toml").exists():
        compiled(folder, {})
    return compile_spec(folder / "spec.toml", scan(policies), shrink=shrink).diagnostics


def test_a_policy_of_the_command_line_is_checked(tmp_path: Path) -> None:
    policy = tmp_path / "elsewhere"
    policy.mkdir()
    file = policy / "lab.star"
    file.write_text(SMALL_RATE)
    (found,) = told(tmp_path, file)
    assert (found.code, found.message) == ("RLC0325", "the policy does not hold: small steps")
    assert [label.span.file.name for label in found.labels] == [str(file), str(file), "//recipes/grpo.star"]
    assert [way.sets for way in found.help] == [(("optim.lr", "1e-07"),)]


def test_several_policies_add_up(tmp_path: Path) -> None:
    for name, text in (("a.star", SMALL_RATE), ("b.star", 'require("run.max_steps > 100", "long runs")\n')):
        (tmp_path / name).write_text(text)
    assert [d.code for d in told(tmp_path, tmp_path / "a.star", tmp_path / "b.star")] == ["RLC0325", "RLC0325"]
    assert told(tmp_path) == ()


def test_the_policy_of_a_root_is_found(tmp_path: Path) -> None:
    (tmp_path / "policy.star").write_text(SMALL_RATE)
    assert [d.code for d in told(tmp_path)] == ["RLC0325"]
    inner = tmp_path / "inner"
    inner.mkdir()
    assert told(inner) == (), "without an rlc.toml the root is the folder of the spec"
    (tmp_path / "rlc.toml").write_text("")
    assert [d.code for d in told(inner)] == ["RLC0325"]


def test_the_marker_of_a_root_names_its_policies(tmp_path: Path) -> None:
    (tmp_path / "policy.star").write_text('fail("this one is not named")\n')
    (tmp_path / "lab.star").write_text(SMALL_RATE)
    (tmp_path / "rlc.toml").write_text('rlc = 1\npolicy = ["lab.star"]\n')
    assert [d.message for d in told(tmp_path)] == ["the policy does not hold: small steps"]


@pytest.mark.parametrize(
    ("marker", "code"),
    [
        ('policy = "missing.star"\n', "RLC0001"),
        ('policy = "../lab.star"\n', "RLC0011"),
        ("policy = 3\n", "RLC0014"),
        ("policy = [3]\n", "RLC0014"),
        ('policy = "lab.toml"\n', "RLC0326"),
    ],
)
def test_a_policy_that_cannot_be_had_is_an_error(tmp_path: Path, marker: str, code: str) -> None:
    (tmp_path / "rlc.toml").write_text(marker)
    assert [d.code for d in told(tmp_path)] == [code]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("import os\n", "RLC0126"),
        ('fail("no")\n', "RLC0150"),
        ('require("optim.lr <= 1")\n', "RLC0216"),
        ('load("../outside.star", "x")\n', "RLC0011"),
        ('require("optim.learning_rate < 1", "named")\n', "RLC0221"),
        ('require("forecast.parameters", "a number")\n', "RLC0324"),
        ('[require("run.max_steps < %d" % n, "n") for n in range(10000000)]\n', "RLC0140"),
    ],
)
def test_a_faulty_policy_is_an_error_of_the_policy(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "policy.star").write_text(text)
    (found,) = told(tmp_path)
    assert found.code == code
    assert all(label.span.file.name.endswith("policy.star") for label in found.labels)


def test_a_policy_on_the_command_line_that_is_missing_or_not_starlark(tmp_path: Path) -> None:
    assert [d.code for d in told(tmp_path, tmp_path / "none.star")] == ["RLC0001"]
    assert [d.code for d in told(tmp_path, tmp_path / "spec.toml")] == ["RLC0326"]


def test_a_policy_may_compute_what_it_requires(tmp_path: Path) -> None:
    (tmp_path / "limits.star").write_text(
        'LIMITS = {"rollout.prompts_per_step": 2, "rollout.samples_per_prompt": 100}\n'
    )
    (tmp_path / "policy.star").write_text(
        'load("limits.star", "LIMITS")\n'
        "def limit(field, most):\n"
        '    require("%s <= %d" % (field, most), "%s is expensive" % field)\n'
        "[limit(field, most) for field, most in LIMITS.items()]\n"
    )
    (found,) = told(tmp_path)
    assert found.message == "the policy does not hold: rollout.prompts_per_step is expensive"
    assert "called here" in [label.text for label in found.labels]


def test_a_policy_knows_the_forecast(tmp_path: Path) -> None:
    (tmp_path / "policy.star").write_text(
        'require("forecast.weight_bytes == 4 * forecast.parameters", "single precision")\n'
        'require("forecast.stages[0].max_sampled_tokens < 100", "few tokens")\n'
    )
    assert [d.message for d in told(tmp_path)] == ["the policy does not hold: few tokens"]


def test_a_policy_is_about_each_stage_that_has_its_fields(tmp_path: Path) -> None:
    (tmp_path / "policy.star").write_text(
        'require("rollout.samples_per_prompt >= 16", "large groups")\n'
        'require("train.global_batch < 20", "small batches")\n'
    )
    found = of_stages(tmp_path, second=GROUP)
    assert [d.message for d in found.diagnostics] == [
        "the policy does not hold in stage rl: large groups",
        "the policy does not hold in stage rl: small batches",
    ]


def test_a_policy_sets_nothing(tmp_path: Path) -> None:
    plain = plan_hash(compiled(tmp_path, {}))
    (tmp_path / "policy.star").write_text('require("train.steps_per_rollout == 1", "on-policy")\n')
    assert plan_hash(compile_spec(tmp_path / "spec.toml", scan())) == plain
    (tmp_path / "policy.star").write_text('require("rollout.concurrency == 7", "seven")\n')
    assert [d.code for d in told(tmp_path)] == ["RLC0325"]


def test_what_was_made_small_is_not_held_against_the_policy(tmp_path: Path) -> None:
    (tmp_path / "policy.star").write_text('require("run.max_steps >= 10", "long enough")\n')
    assert told(tmp_path, shrink=True) == ()


def plan_hash(found: Compiled) -> str:
    assert found.plan is not None, found.diagnostics
    return found.plan.hash


def test_a_policy_that_requires_nothing_is_an_error(tmp_path: Path) -> None:
    uncalled = 'def rules():\n    require("optim.lr <= 1e-7", "small steps")\n'
    (tmp_path / "policy.star").write_text(uncalled)
    assert [d.code for d in told(tmp_path)] == ["RLC0326"]
    (tmp_path / "policy.star").write_text(uncalled + "\nrules()\n")
    assert [d.code for d in told(tmp_path)] == ["RLC0325"]
