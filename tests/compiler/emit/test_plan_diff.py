"""What changed between two plans and why: every change stands under the written source that it follows from."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from compiler.emit.plan_diff import plan_diff
from compiler.ir.plan import Plan
from compiler.ir.sourced_plan import SourcedPlan
from tests.compiler.emit.plan_specs import (
    IMITATION,
    ONE_STAGE,
    REINFORCEMENT,
    SHARED,
    TWO_STAGES,
    WITH_REFERENCE,
    plan_in,
    plan_of_text,
)

Golden = Callable[[str, str], None]

UNKNOWN = "no written source is known for"

# (old, new): each pair changes something of another kind.
PAIRS = {
    "a_number": (ONE_STAGE, ONE_STAGE.replace("samples_per_prompt = 4", "samples_per_prompt = 8")),
    "said_in_other_words": (
        ONE_STAGE.replace("global_batch = 32", "global_batch = 16\nsteps_per_rollout = 4"),
        ONE_STAGE.replace("global_batch = 32", "global_batch = 16"),
    ),
    "another_unknown": (ONE_STAGE, ONE_STAGE.replace("global_batch = 32", "steps_per_rollout = 4")),
    "evaluation_added": (ONE_STAGE, WITH_REFERENCE),
    "another_recipe": (
        ONE_STAGE,
        ONE_STAGE.replace("//recipes:grpo", "//recipes:sft")
        .partition("[rollout]")[0]
        .__add__('[train]\nglobal_batch = 32\n\n[[data.train]]\npath = "sums.jsonl"\n'),
    ),
    "a_stage_added": (SHARED + REINFORCEMENT, TWO_STAGES),
    "stages_in_another_order": (TWO_STAGES, SHARED + REINFORCEMENT + IMITATION),
    "data_added": (ONE_STAGE, ONE_STAGE + '\n[[data.train]]\npath = "more.jsonl"\n'),
    "another_model": (
        ONE_STAGE,
        ONE_STAGE.replace("[model]", '[model.tokenizer]\nkind = "huggingface"\n\n[model]\nweights = "."'),
    ),
    "a_bound_taken_away": (
        TWO_STAGES,
        SHARED + IMITATION.replace('until = "eval.heldout.accuracy >= 0.33"\n', "") + REINFORCEMENT,
    ),
}


def difference(old: SourcedPlan, new: SourcedPlan, *, color: bool = False) -> str:
    return plan_diff(old, new, ascii_only=False, color=color)


def two_stages(folder: Path, *overrides: str) -> SourcedPlan:
    (folder / "spec.toml").write_text(TWO_STAGES)
    return plan_in(folder, Path("spec.toml"), overrides)


def of_texts(folder: Path, old: str, new: str) -> str:
    before = plan_of_text(folder, old)._replace(name="before.toml")
    return difference(before, plan_of_text(folder, new)._replace(name="after.toml"))


@pytest.mark.parametrize("name", PAIRS)
def test_a_difference_is_told_with_its_causes(name: str, tmp_path: Path, golden: Golden) -> None:
    text = of_texts(tmp_path, *PAIRS[name])
    assert UNKNOWN not in text
    golden(f"plan_diffs/{name}.txt", text)


@pytest.mark.parametrize("name", PAIRS)
def test_the_other_way_round_has_causes_as_well(name: str, tmp_path: Path) -> None:
    old, new = PAIRS[name]
    assert UNKNOWN not in of_texts(tmp_path, new, old)


@pytest.mark.parametrize(
    "overrides",
    [
        ["run.seed=7"],
        ["cluster.cpu_threads=1"],
        ["rollout.max_response_tokens=9"],
        ["rollout.sampling.temperature=0.9", "stages.grpo.loss.old_logprobs=recompute"],
        ["stages.grpo.loss.kl.estimator=k1", "stages.grpo.loss.kl.coef=0.1"],
        ["stages.grpo.train.global_batch=128"],
        ["stages.grpo.run.max_steps=10", "stages.grpo.rollout.samples_per_prompt=4"],
        ["stages.grpo.loss.clip_low=0.1"],
        ["stages.sft.until=off"],
        ["stages.sft.eval.interval=off", "stages.sft.checkpoint.interval=50"],
        ["train.micro_batch=8"],
        ["reward.name=math"],
        ["model.vocab_size=64"],
        ["log.tensorboard=false", "log.transcripts_per_step=0"],
        ["optim.schedule=cosine", "optim.min_lr=1e-5"],
        ["stages.grpo.optim.weight_decay=0.1", "optim.clip_grad_norm=off"],
    ],
    ids=lambda texts: " ".join(texts),
)
def test_every_change_follows_from_an_override(overrides: Sequence[str], tmp_path: Path) -> None:
    plain, changed = two_stages(tmp_path), two_stages(tmp_path, *overrides)
    for old, new in ((plain, changed), (changed, plain)):
        text = difference(old, new)
        assert UNKNOWN not in text
        assert text.count("--set ") >= len(overrides)


def test_what_follows_is_told_under_what_it_follows_from(tmp_path: Path) -> None:
    old = plan_of_text(tmp_path, ONE_STAGE)
    new = plan_in(tmp_path, Path("spec.toml"), ["rollout.samples_per_prompt=8", "run.seed=1"])
    blocks = difference(old, new).split("\n\n  ")
    [group] = [block for block in blocks if block.startswith("rollout.samples_per_prompt: 4 -> 8")]
    [seed] = [block for block in blocks if block.startswith("run.seed: 0 -> 1")]
    assert "    old  spec.toml:16   samples_per_prompt = 4\n" in group
    assert "    new  --set rollout.samples_per_prompt=8\n" in group
    assert "train.steps_per_rollout: 2 -> 4" in group
    assert "optim.total_steps: 20 -> 40" in group
    assert "seeds." not in group
    assert seed.count("seeds.") == 4


def test_one_line_that_two_stages_share_is_one_cause(tmp_path: Path) -> None:
    text = difference(two_stages(tmp_path), two_stages(tmp_path, "optim.lr=1e-3", "rollout.max_response_tokens=7"))
    assert "from 3 causes" in text  # two places of old learning rates, one of the length
    assert text.count("spec.toml:13") == 1


def test_a_change_with_two_causes_names_both(tmp_path: Path) -> None:
    old = plan_of_text(tmp_path, ONE_STAGE)
    new = plan_in(tmp_path, Path("spec.toml"), ["rollout.samples_per_prompt=8", "run.max_steps=50"])
    [line] = [line for line in difference(old, new).split("\n") if "optim.total_steps" in line]
    assert line.strip() == "so   optim.total_steps: 20 -> 200   also from rollout.samples_per_prompt"


def test_two_overrides_are_two_causes(tmp_path: Path) -> None:
    text = difference(two_stages(tmp_path), two_stages(tmp_path, "optim.schedule=cosine", "optim.min_lr=1e-5"))
    assert 'stages.grpo.optim.schedule: "constant" -> "cosine"\n      old  the default' in text
    assert text.count("    new  --set optim.schedule=cosine\n") == 1
    assert text.count("    new  --set optim.min_lr=1e-5\n") == 1


def test_equal_plans_are_said_to_be_equal(tmp_path: Path) -> None:
    assert difference(two_stages(tmp_path), two_stages(tmp_path)).split("\n\n")[1] == "no difference\n"


def test_a_saved_plan_says_values_and_the_spec_says_places(golden: Golden, tmp_path: Path) -> None:
    saved = two_stages(tmp_path)._replace(subject=None, name="saved.json")
    text = difference(saved, two_stages(tmp_path, "stages.grpo.train.global_batch=128"))
    assert UNKNOWN not in text
    golden("plan_diffs/a_saved_plan.txt", text)


def test_of_two_saved_plans_only_values_are_known(tmp_path: Path) -> None:
    old = two_stages(tmp_path)._replace(subject=None)
    new = two_stages(tmp_path, "stages.grpo.optim.lr=1e-3")._replace(subject=None)
    assert f"{UNKNOWN}\n      stages.grpo.optim.lr: 0.0005 -> 0.001\n" in difference(old, new)


def test_a_difference_of_the_forecast_alone_is_said_to_be_outside_the_hash(tmp_path: Path) -> None:
    old = two_stages(tmp_path)
    forecast = old.plan.forecast.replacing(gradient_bytes=7)
    new = old._replace(plan=Plan(experiment=old.plan.experiment, forecast=forecast))
    text = difference(old, new)
    assert "the same plan: what differs is outside the hash" in text
    assert "forecast   (outside the hash)\n      gradient_bytes: 1_602_560 -> 7\n" in text


def test_a_setting_outside_the_hash_is_marked(tmp_path: Path) -> None:
    text = difference(two_stages(tmp_path), two_stages(tmp_path, "log.tensorboard=false"))
    assert "log.tensorboard: true -> false   (outside the hash)\n" in text
    assert "the same plan: what differs is outside the hash" in text


def test_places_in_a_folder_without_meaning_get_the_name_that_the_user_knows(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_text(ONE_STAGE)
    old = plan_in(tmp_path, tmp_path / "spec.toml")._replace(folder=str(tmp_path), folder_name="main:")
    text = difference(old, plan_in(tmp_path, Path("spec.toml"), ["run.max_steps=3"]))
    assert "    old  main:spec.toml:12   max_steps = 10\n" in text


def test_nothing_that_a_spec_says_reaches_the_terminal_as_a_command(tmp_path: Path) -> None:
    text = of_texts(tmp_path, ONE_STAGE, ONE_STAGE + 'label_key = "a\\u001b[2Jb\\u202E"\n')
    assert 'data.train.0.label_key: "label" -> "a\\u001b[2Jb\ufffd"\n' in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_ascii_only_is_ascii_only(tmp_path: Path) -> None:
    old = plan_of_text(tmp_path, ONE_STAGE)
    new = plan_of_text(tmp_path, ONE_STAGE + 'label_key = "\u548c"\n')
    assert plan_diff(old, new, ascii_only=True, color=False).isascii()


def test_colours_add_nothing_but_colours(tmp_path: Path) -> None:
    old, new = two_stages(tmp_path), two_stages(tmp_path, "run.seed=2")
    plain, colored = difference(old, new), difference(old, new, color=True)
    assert colored != plain
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_the_only_stage_keeps_its_identity_under_another_name(tmp_path: Path) -> None:
    text = of_texts(
        tmp_path, SHARED + REINFORCEMENT, SHARED + REINFORCEMENT.replace('"grpo"', '"rl"').replace("5e-4", "4e-4")
    )
    assert 'stages.rl.name: "grpo" -> "rl"\n' in text
    assert "stages.rl.optim.lr: 0.0005 -> 0.0004\n" in text
    assert "from 2 causes" in text
