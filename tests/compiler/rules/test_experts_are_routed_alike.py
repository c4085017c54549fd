"""RLC0536 (ALGO-05): two engines choose experts, each for itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.rules.gpu.experts_are_routed_alike import check
from rlc.catalogue import load_target
from tests.support.good_spec import GPU, MOE, SFT, Changes, codes, compiled

FITS: Changes = {"parallel.ep": "8"}


def test_a_model_of_experts_that_samples_is_warned_of_once(tmp_path: Path) -> None:
    found = compiled(tmp_path, {**FITS, "stages": '[{ name = "a" }, { name = "b" }]'}, base=MOE)
    assert found.plan is not None
    assert [(d.code, d.severity) for d in found.diagnostics] == [("RLC0536", "warning")]


def test_a_dense_model_and_demonstrations_are_not(tmp_path: Path) -> None:
    assert "RLC0536" not in codes(tmp_path, {}, base=GPU)
    gpu: Changes = {field: MOE[field] for field in MOE if field.startswith(("model.", "cluster."))}
    assert "RLC0536" not in codes(tmp_path, {**gpu, **FITS}, base=SFT)


@pytest.mark.parametrize(
    "replay",
    [{"train.routing_replay": '"rollout"'}, {"train.routing_replay": '"trainer"', "loss.old_logprobs": '"recompute"'}],
)
def test_a_replay_of_routing_is_what_it_asks_for(tmp_path: Path, replay: Changes) -> None:
    assert codes(tmp_path, {**FITS, **replay}, base=MOE) == []


@pytest.mark.parametrize(
    "guard",
    [
        {"loss.mismatch.bound": '"truncate"'},
        {"loss.mismatch.bound": '"mask"', "loss.mismatch.low": "0.5", "loss.mismatch.high": "5.0"},
        {"loss.rejection.level": '"geometric"'},
        {"loss.rejection.max_error": "1.5"},
    ],
)
def test_what_differs_may_be_guarded_against(tmp_path: Path, guard: Changes) -> None:
    assert codes(tmp_path, {**FITS, "loss.old_logprobs": '"recompute"', **guard}, base=MOE) == []


def test_weights_without_bounds_guard_against_nothing(tmp_path: Path) -> None:
    free: Changes = {"loss.old_logprobs": '"recompute"', "loss.mismatch.bound": '"none"'}
    assert codes(tmp_path, {**FITS, **free}, base=MOE) == ["RLC0536"]


def test_its_way_out_is_one_that_the_engines_can_go(tmp_path: Path) -> None:
    def way(changes: Changes) -> str:
        found = compiled(tmp_path, changes, base=MOE).diagnostics
        return next(d.help[0].text for d in found if d.code == "RLC0536")

    assert way(FITS) == 'set train.routing_replay = "rollout"'
    assert way({"train.engine.name": '"fsdp2"'}) == 'set train.routing_replay = "rollout"'
    subject = compiled(tmp_path, FITS, base=MOE).subject
    assert subject is not None
    target = load_target("cuda")._replace(replays_routing=("sglang",))
    (found,) = check(subject._replace(catalogue=subject.catalogue._replace(load_target=lambda _: target)))
    assert found.help[0].text.startswith("megatron cannot replay")


def test_a_reason_lets_it_through(tmp_path: Path) -> None:
    allow: Changes = {"allow": '[{ rule = "RLC0536", why = "the distance is watched" }]'}
    assert codes(tmp_path, {**FITS, **allow}, base=MOE) == []
