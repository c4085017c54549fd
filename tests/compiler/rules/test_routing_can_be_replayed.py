"""RLC0514 (ALGO-05): what a replay of routing needs of the model, the engines, and the pass before the update."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.subject import Subject
from compiler.rules.routing_can_be_replayed import check
from rlc.catalogue import load_target
from tests.support.good_spec import GPU, MOE, Changes, codes, compiled, messages

ROUTED: Changes = {"parallel.ep": "8", "train.routing_replay": '"rollout"'}


def replaying(subject: Subject, *engines: str) -> Subject:
    """Return the same on a target of which these engines alone replay."""
    target = load_target("cuda")._replace(replays_routing=engines)
    return subject._replace(catalogue=subject.catalogue._replace(load_target=lambda _: target))


def test_engines_that_replay_leave_nothing_to_say(tmp_path: Path) -> None:
    assert codes(tmp_path, ROUTED, base=MOE) == []
    assert codes(tmp_path, {**ROUTED, "rollout.engine.name": '"vllm"'}, base=MOE) == []


def test_a_dense_model_has_nothing_to_replay(tmp_path: Path) -> None:
    assert messages(tmp_path, {"train.routing_replay": '"rollout"'}, base=GPU) == [
        "routing is replayed, and the model has no experts"
    ]


def test_a_trainer_that_cannot_is_named(tmp_path: Path) -> None:
    shards: Changes = {"train.routing_replay": '"rollout"', "train.engine.name": '"fsdp2"'}
    subject = compiled(tmp_path, shards, base=MOE).subject
    assert subject is not None
    assert list(check(subject)) == []
    (found,) = check(replaying(subject, "sglang"))
    assert found.message == "fsdp2 on target cuda does not train with experts that it is given"


@pytest.mark.parametrize(("source", "is_fine"), [("recompute", True), ("rollout", False), ("current", False)])
def test_the_trainers_own_routing_needs_a_pass_before_the_update(tmp_path: Path, source: str, is_fine: bool) -> None:
    replay: Changes = {**ROUTED, "train.routing_replay": '"trainer"', "loss.old_logprobs": f'"{source}"'}
    ratio: Changes = {} if source != "current" else {"use": None, "algo.name": '"grpo"', "optim.lr": "1e-6"}
    assert codes(tmp_path, {**replay, **ratio}, base=MOE) == ([] if is_fine else ["RLC0514"])


def test_engines_of_one_process_replay_as_well(tmp_path: Path) -> None:
    experts: Changes = {
        "model.family": '"qwen3_moe"',
        "model.moe": "{ num_experts = 4, experts_per_token = 2, expert_size = 32 }",
        "train.routing_replay": '"rollout"',
    }
    assert codes(tmp_path, experts) == []
