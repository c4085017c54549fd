"""Who sits on which GPU: trainers from the first one on, engines beside or behind them."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.machine import Role
from tests.support.good_spec import GPU, Changes, compiled

SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "4"}


def roles(folder: Path, changes: Changes, role: str) -> list[Role]:
    plan = compiled(folder, changes, base=GPU).plan
    assert plan is not None
    return [r for r in plan.experiment.placement.roles if r.role == role]


def seats(folder: Path, changes: Changes, role: str) -> list[tuple[int, str, int]]:
    return [(r.node, r.device, r.process) for r in roles(folder, changes, role)]


def test_every_gpu_that_trains_has_a_process(tmp_path: Path) -> None:
    found = seats(tmp_path, {"cluster.nodes": "2"}, "trainer")
    assert found == [(at // 8, f"cuda:{at % 8}", at) for at in range(16)]


def test_engines_that_share_sit_on_the_gpus_of_the_trainer(tmp_path: Path) -> None:
    trainer, rollout = (seats(tmp_path, {}, role) for role in ("trainer", "rollout"))
    assert [seat[:2] for seat in rollout] == [seat[:2] for seat in trainer]


def test_engines_of_their_own_begin_behind_the_trainer(tmp_path: Path) -> None:
    assert [device for _, device, _ in seats(tmp_path, SPLIT, "trainer")] == [f"cuda:{i}" for i in range(4)]
    assert [device for _, device, _ in seats(tmp_path, SPLIT, "rollout")] == [f"cuda:{i}" for i in range(4, 8)]


def test_an_engine_of_several_gpus_sits_on_a_run_of_them(tmp_path: Path) -> None:
    changes: Changes = {**SPLIT, "placement.gpus_per_engine": "2"}
    assert seats(tmp_path, changes, "rollout") == [(0, "cuda:4-5", 4), (0, "cuda:6-7", 5)]


def test_an_engine_of_several_machines_begins_on_the_first(tmp_path: Path) -> None:
    changes: Changes = {"cluster.nodes": "4", "placement.gpus_per_engine": "16"}
    assert seats(tmp_path, changes, "rollout") == [(0, "cuda:0-7 and 8 more", 32), (2, "cuda:0-7 and 8 more", 33)]


def test_the_second_machine_generates_where_the_first_one_trains(tmp_path: Path) -> None:
    changes: Changes = {**SPLIT, "cluster.nodes": "2", "placement.train_gpus": "8", "placement.gpus_per_engine": "4"}
    assert seats(tmp_path, changes, "rollout") == [(1, "cuda:0-3", 8), (1, "cuda:4-7", 9)]


def test_a_reference_sits_with_the_trainer_and_a_reward_on_the_processor(tmp_path: Path) -> None:
    changes: Changes = {"loss.kl.estimator": '"k3"', **SPLIT}
    assert seats(tmp_path, changes, "reference") == seats(tmp_path, changes, "trainer")
    assert seats(tmp_path, changes, "reward") == [(0, "cpu", 8)]


@pytest.mark.parametrize("changes", [{}, SPLIT, {"cluster.nodes": "2", "placement.gpus_per_engine": "8"}])
def test_a_process_is_of_one_trainer_one_engine_or_the_rewards(tmp_path: Path, changes: Changes) -> None:
    of = {role: [at for _, _, at in seats(tmp_path, changes, role)] for role in ("trainer", "rollout", "reward")}
    numbers = sorted(at for found in of.values() for at in found)
    assert numbers == list(range(len(numbers)))


def test_the_first_engine_of_the_target_is_taken(tmp_path: Path) -> None:
    assert {r.engine for r in roles(tmp_path, {}, "trainer")} == {"megatron"}
    assert {r.engine for r in roles(tmp_path, {}, "rollout")} == {"sglang"}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"debug.mode": '"rollout_only"'}, {"trainer", "rollout", "reward"}),
        ({"debug.mode": '"train_only"', "debug.replay": '"a"'}, {"trainer", "reference"}),
        (
            {
                "debug.mode": '"train_only"',
                "debug.replay": '"a"',
                "eval.sets": '[{ name = "heldout", path = "h.jsonl" }]',
            },
            {"trainer", "reference", "rollout", "reward"},
        ),
    ],
)
def test_nobody_sits_there_who_has_nothing_to_do(tmp_path: Path, changes: Changes, expected: set[str]) -> None:
    plan = compiled(tmp_path, {"loss.kl.estimator": '"k3"', **changes}, base=GPU).plan
    assert plan is not None
    assert {role.role for role in plan.experiment.placement.roles} == expected
