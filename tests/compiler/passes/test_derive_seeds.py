"""Seeds: a counter over run.seed and the stage, against published numbers, and independent of all else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from compiler.ir.experiment import Seeds
from compiler.passes.derive_seeds import stream_seed
from tests.support.good_spec import Changes, compiled


def seeds(folder: Path, changes: Changes) -> list[Seeds]:
    plan = compiled(folder, changes).plan
    assert plan is not None
    return [stage.seeds for stage in plan.experiment.stages]


def test_the_sequence_is_splitmix64_without_its_sign_bit() -> None:
    # The first outputs for the seed 1234567, as other implementations of the algorithm print them.
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    assert [stream_seed(1234567, n) for n in range(4)] == [number >> 1 for number in published]


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6))
def test_a_seed_fits_a_signed_word(seed: int, counter: int) -> None:
    assert 0 <= stream_seed(seed, counter) < 2**63


def test_the_streams_of_all_stages_are_the_counter_in_order(tmp_path: Path) -> None:
    found = seeds(tmp_path, {"run.seed": "7", "stages": '[{ name = "a" }, { name = "b" }]'})
    flat = [seed for s in found for seed in (s.data, s.sampling, s.evaluation, s.minibatch)]
    assert flat == [stream_seed(7, n) for n in range(8)]
    assert len(set(flat)) == 8


def test_another_stage_at_the_end_keeps_the_seeds_of_the_earlier_ones(tmp_path: Path) -> None:
    two = seeds(tmp_path, {"stages": '[{ name = "a" }, { name = "b" }]'})
    three = seeds(tmp_path, {"stages": '[{ name = "a" }, { name = "b" }, { name = "c" }]'})
    assert three[:2] == two


def test_plans_that_differ_in_everything_but_the_seed_draw_the_same(tmp_path: Path) -> None:
    changes: Changes = {"optim.lr": "1e-3", "name": '"other"', "rollout.max_response_tokens": "8", "run.max_steps": "3"}
    one, two = compiled(tmp_path, {}).plan, compiled(tmp_path, changes).plan
    assert one is not None
    assert two is not None
    assert one.hash != two.hash
    assert one.experiment.stages[0].seeds == two.experiment.stages[0].seeds
    assert seeds(tmp_path, {"run.seed": "1"}) != seeds(tmp_path, {"run.seed": "2"})
