"""RLC0510 (PLACE-03, ALGO-02): sampling beside training has GPUs of its own, and knows who sampled."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, GRPO, SFT, Changes, codes, compiled

SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "4"}
ASYNC: Changes = {"schedule.mode": '"async"'}


def test_an_asynchronous_loop_runs_on_gpus_of_its_own(tmp_path: Path) -> None:
    assert "RLC0510" not in codes(tmp_path, {**ASYNC, **SPLIT}, base=GPU)
    assert codes(tmp_path, ASYNC, base=GPU).count("RLC0510") == 1


def test_a_loop_that_is_one_step_off_runs_on_gpus_of_its_own(tmp_path: Path) -> None:
    one_off: Changes = {"schedule.mode": '"one_step_off"'}
    assert "RLC0510" not in codes(tmp_path, {**one_off, **SPLIT}, base=GPU)
    assert codes(tmp_path, one_off, base=GPU).count("RLC0510") == 1


def test_a_synchronous_loop_runs_on_either(tmp_path: Path) -> None:
    assert "RLC0510" not in codes(tmp_path, SPLIT, base=GPU)
    assert "RLC0510" not in codes(tmp_path, {}, base=GPU)


def test_stale_samples_are_measured_from_the_policy_that_sampled(tmp_path: Path) -> None:
    now: Changes = {"loss.old_logprobs": '"current"', "loss.clip_low": None}
    found = compiled(tmp_path, {**ASYNC, **SPLIT, **now}, base=GPU).diagnostics
    assert ("RLC0510", "ALGO-02") in [(d.code, d.rule) for d in found]


def test_demonstrations_have_nothing_to_run_beside(tmp_path: Path) -> None:
    gpu: Changes = {field: GPU[field] for field in GPU if field.startswith(("model.", "cluster."))}
    assert "RLC0510" in codes(tmp_path, {**gpu, **ASYNC, **SPLIT}, base=SFT)


@pytest.mark.parametrize("mode", ["one_step_off", "async"])
def test_one_process_takes_turns(tmp_path: Path, mode: str) -> None:
    assert "RLC0510" not in codes(tmp_path, {"schedule.mode": f'"{mode}"'}, base=GRPO)


def test_the_way_out_divides_the_gpus(tmp_path: Path) -> None:
    ways = [w.sets for d in compiled(tmp_path, ASYNC, base=GPU).diagnostics if d.code == "RLC0510" for w in d.help]
    assert (("placement.mode", '"split"'), ("placement.train_gpus", "4")) in ways
    for sets in ways:
        assert "RLC0510" not in codes(tmp_path, {**ASYNC, **dict(sets)}, base=GPU)
