"""Sizes that only bound memory, token limits, and what a stage may cost: numbers by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.experiment import Stage
from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Rollout
from tests.support.good_spec import GRPO, SFT, Changes, codes, compiled

LONG: Changes = {"model.max_position_tokens": "40_960"}
EVAL: Changes = {
    "eval.sets": '[{ name = "held", path = "h.jsonl" }]',
    "rollout.max_response_tokens": "16",
    "reward.name": '"exact"',
}


def stage_of(folder: Path, changes: Changes, *, base: dict[str, str] = GRPO) -> Stage[object]:
    found = compiled(folder, changes, base=base)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan.experiment.stages[0]


def rollout_of(folder: Path, changes: Changes) -> Rollout[object]:
    rollout = stage_of(folder, changes).rollout
    assert isinstance(rollout, Rollout)
    return rollout


@pytest.mark.parametrize(
    ("changes", "prompt", "context"),
    [
        ({}, 512 - 16, 512),
        ({"rollout.max_prompt_tokens": "6"}, 6, 6 + 16),
        ({"rollout.max_context_tokens": "100"}, 100 - 16, 100),
        ({"rollout.max_prompt_tokens": "6", "rollout.max_context_tokens": "100"}, 6, 100),
    ],
)
def test_prompt_and_context_follow_from_each_other_and_from_the_model(
    tmp_path: Path, changes: Changes, prompt: int, context: int
) -> None:
    rollout = rollout_of(tmp_path, changes)
    assert (rollout.max_prompt_tokens, rollout.max_context_tokens) == (prompt, context)


@pytest.mark.parametrize("changes", [{"rollout.max_response_tokens": "512"}, {"rollout.max_context_tokens": "16"}])
def test_no_room_for_a_prompt_is_an_error_and_no_limit_of_zero(tmp_path: Path, changes: Changes) -> None:
    assert codes(tmp_path, changes) == ["RLC0307"]


def test_a_micro_batch_holds_16_ki_tokens_or_one_longest_sample(tmp_path: Path) -> None:
    assert stage_of(tmp_path, {}).train.packing.tokens == 16384
    assert stage_of(tmp_path, LONG).train.packing.tokens == 40960
    assert stage_of(tmp_path, {**LONG, "rollout.max_context_tokens": "20_000"}).train.packing.tokens == 20000


def test_a_micro_batch_of_demonstrations_holds_what_the_model_or_its_evaluation_allows(tmp_path: Path) -> None:
    assert stage_of(tmp_path, LONG, base=SFT).train.packing.tokens == 40960
    assert stage_of(tmp_path, {**LONG, **EVAL}, base=SFT).train.packing.tokens == 40960


def test_a_written_number_of_samples_takes_the_place_of_the_token_budget(tmp_path: Path) -> None:
    assert stage_of(tmp_path, {"train.micro_batch": "4"}).train.packing.tokens is OFF


def test_vocabulary_slices_are_at_most_16_ki_wide(tmp_path: Path) -> None:
    assert stage_of(tmp_path, {}).train.vocab_chunk == 52
    assert stage_of(tmp_path, {"model.vocab_size": "151_936"}).train.vocab_chunk == 16384


def test_all_sequences_of_a_step_are_decoded_at_once_up_to_512(tmp_path: Path) -> None:
    assert rollout_of(tmp_path, {}).concurrency == 32
    assert rollout_of(tmp_path, {"rollout.prompts_per_step": "128", "train.global_batch": None}).concurrency == 512


def test_a_partial_rollout_has_room_for_those_that_it_breaks_off(tmp_path: Path) -> None:
    partial: Changes = {"rollout.buffer.partial": "true", "rollout.buffer.max_staleness_steps": "4"}
    found = rollout_of(tmp_path, {**partial, "rollout.buffer.oversample": "1.3"})
    # 1.3 x 4 prompts are 6 whole ones, of 8 samples each.
    assert found.concurrency == 48
    # What a step takes does not become more.
    assert (found.prompts_per_step, found.samples_per_prompt) == (4, 8)


def test_a_long_context_leaves_room_for_fewer_sequences_in_four_gibibytes(tmp_path: Path) -> None:
    facts: Changes = {"model.num_layers": "28", "model.num_kv_heads": "8", "model.num_heads": "16"}
    sizes: Changes = {**facts, "model.head_dim": "128", "model.max_position_tokens": "40_960"}
    per_token = 2 * 28 * 8 * 128 * 4  # keys and values, layers, heads, channels, bytes: 224 KiB
    short = rollout_of(tmp_path, {**sizes, "rollout.max_context_tokens": "1024"})
    assert short.concurrency == 2**32 // (1024 * per_token) == 18
    assert rollout_of(tmp_path, sizes).concurrency == 1


def test_a_written_number_of_sequences_is_kept_however_much_it_takes(tmp_path: Path) -> None:
    assert rollout_of(tmp_path, {**LONG, "rollout.concurrency": "100_000"}).concurrency == 100_000


def test_evaluation_alone_decodes_up_to_512(tmp_path: Path) -> None:
    rollout = stage_of(tmp_path, EVAL, base=SFT).rollout
    assert not isinstance(rollout, Off)
    assert rollout.concurrency == 512


def test_the_clip_range_is_symmetric_unless_its_upper_half_is_set(tmp_path: Path) -> None:
    loss = compiled(tmp_path, {"loss.clip_low": "0.1", "loss.clip_high": '"auto"'}).plan
    assert loss is not None
    assert loss.experiment.stages[0].algorithm.loss.__dict__["clip_high"] == 0.1


def test_a_reference_is_kept_exactly_where_a_divergence_is_estimated(tmp_path: Path) -> None:
    assert stage_of(tmp_path, {}).reference is OFF
    assert stage_of(tmp_path, {"loss.kl.estimator": '"k3"'}).reference == "stage_start"
    assert stage_of(tmp_path, {}, base=SFT).reference is OFF


def test_a_budget_multiplies_what_a_stage_does(tmp_path: Path) -> None:
    changes: Changes = {"rollout.prompts_per_step": "6", "train.global_batch": "16", "run.max_steps": "10"}
    budget = stage_of(tmp_path, changes).budget.__dict__
    assert budget == {
        "rollouts": 10,
        "optimizer_steps": 10 * 6 * 8 // 16,
        "samples": 10 * 6 * 8,
        "max_sampled_tokens": 10 * 6 * 8 * 16,
    }


@pytest.mark.parametrize(("filtered", "times"), [({}, 1), ({"rollout.filter.name": '"nonzero_std"'}, 1 + 10)])
def test_a_budget_counts_what_a_partial_rollout_has_under_way(tmp_path: Path, filtered: Changes, times: int) -> None:
    partial: Changes = {"rollout.buffer.partial": "true", "rollout.buffer.max_staleness_steps": "4"}
    changes: Changes = {**partial, **filtered, "rollout.buffer.oversample": "1.3", "run.max_steps": "10"}
    # 6 prompts under way for the 4 of a step, each time that prompts are drawn.
    assert stage_of(tmp_path, changes).budget.__dict__["max_sampled_tokens"] == 10 * 6 * 8 * 16 * times


def test_a_stage_that_does_not_sample_has_no_rollouts_in_its_budget(tmp_path: Path) -> None:
    budget = stage_of(tmp_path, {}, base=SFT).budget.__dict__
    assert budget == {"rollouts": 0, "optimizer_steps": 10, "samples": 320, "max_sampled_tokens": 0}


def test_one_device_carries_every_role_once(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"loss.kl.estimator": '"k3"', "stages": '[{ name = "a" }, { name = "b" }]'}).plan
    assert plan is not None
    roles = plan.experiment.placement.roles
    assert [(r.role, r.engine) for r in roles] == [
        ("reference", "torch"),
        ("reward", "exact"),
        ("rollout", "native"),
        ("trainer", "torch"),
    ]
    assert {(r.node, r.device, r.process) for r in roles} == {(0, "cpu:0", 0)}
