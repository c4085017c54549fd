"""The model of time against what others measured, row by row: the bars that are reached, and the rows that miss them.

Tables: checks/planner/measured/.  The rows that are further off are named here with the reason, and nowhere else.
"""

from __future__ import annotations

import csv
import statistics
from math import log

import pytest

from checks.planner.comparison import Comparison, Skipped
from checks.planner.fit import TIME, fit
from checks.planner.report import COUNTED_PCT, TIME_PCT, misses, rank_correlations, spread_of
from checks.planner.tables import MEASURED, read_times
from compiler.planner.time.constants import RATES, Rates
from compiler.planner.time.lengths import MEAN_FRAC, SPREAD

FOUND = [one for rows in read_times().values() for one in rows]
EVERY = [one for one in FOUND if isinstance(one, Comparison)]

# More than 20 % off the rate of training of a dense network, or 30 % of one with experts.
TRAIN_MISSES = {
    "P025": "the micro-batch is not published, and taken for the largest",
    "P026": "the same",
    "P404": "FSDP over eight nodes whose network is not named: a node alone is predicted to 12 %",
    "P290": "software of 2025 on HGX B200, 1.25 times slower than the version before it on the same configuration",
    "P314": "a dispatcher of 32 pipeline stages without fused permutation",
    "P315": "a micro-batch of 1,024 tokens a GPU: the host launches kernels more slowly than the GPU runs them",
    "P419": "DualPipe has half of the bubble, and tokens go to four nodes at most",
    "P298": "software of 2025 that drops tokens; versions of 2026 run the same configuration 1.7 times as fast",
    "P310": "software of 2025 that drops tokens; versions of 2026 run the same configuration 1.4 times as fast",
}
# More than 25 % off what an engine generates.
ROLLOUT_MISSES = {
    "D091": "hundreds of sequences on a GPU with attention of its own; the engine's largest batch is not published",
    "D121": "two micro-batches overlap to hide the experts' communication",
    "D129": "two micro-batches overlap, and experts are copied to balance them",
    "D137": "vLLM on MI300X with 405 billion parameters: products of eight bits below their share",
    **dict.fromkeys(("D142", "D145", "D147", "D150"), "vLLM of 2024 on MI300X, the same"),
}
# More than 35 % off the time of a step, or of handing over the weights.
STEP_MISSES = {
    "R001": "an engine of 32 GPUs on four nodes: Q011 says that it takes 57 s, and what is left 64",
    "Q005": "the same, of version 0.4",
    "Q011": "the same, of version 0.7",
    "R019": "its publisher calls it an anomaly: slower than without overlap",
    "R027": "version 0.4; version 0.6 takes 152 s for the same, of which 140 are predicted",
    "R072": "one tensor after the other, without buckets",
}
# More than 25 % off the time of generation, or 30 % off that of training, in a step.
PHASE_MISSES = {
    "Q003": "training at TP 4 and PP 4, perhaps with what brings the optimizer state back",
    "Q004": "the same, run by another",
    "Q011": "an engine of 32 GPUs on four nodes",
}
# Less than 0.9 of rank correlation.
RANK_MISSES = {
    "Qwen3-235B-A22B, modelzoo": "two of nine are P314 and P315",
}
COUNTS = {"train dense": 35, "train MoE": 45, "rollout": 33, "RL step": 21, "weight sync": 1, "RL rollout": 5}


def part(*quantities: str) -> list[Comparison[Rates]]:
    return [one for one in EVERY if one.quantity in quantities]


def held_out(quantity: str) -> list[Comparison[Rates]]:
    return [one for one in part(quantity) if not one.is_fitted_on]


def missed(*quantities: str) -> set[str]:
    return {one.id for one in part(*quantities) if misses(one, RATES)}


def test_flops_of_a_token_are_within_one_percent_of_what_megatron_bridge_publishes() -> None:
    """Dense, grouped and latent attention, experts with and without a shared one, and a layer for a further token."""
    flops = part("FLOPs")
    assert len(flops) > 80
    assert max(abs(one.error_pct(RATES)) for one in flops) <= COUNTED_PCT


def test_training_of_dense_networks_that_were_not_fitted_on_is_within_twenty_percent() -> None:
    """Thirteen of fourteen rows."""
    spread = spread_of(held_out("train dense"), RATES)
    assert spread.median <= 10
    assert spread.p90 <= TIME_PCT["train dense"]


def test_training_with_experts_that_was_not_fitted_on_is_within_thirty_percent() -> None:
    """All rows, of software newer than any that is fitted on, and so too slow by a fifth at the median."""
    spread = spread_of(held_out("train MoE"), RATES)
    assert max(-spread.lowest, spread.highest) <= TIME_PCT["train MoE"]


def test_no_rate_of_training_is_far_off_but_those_that_are_named() -> None:
    assert missed("train dense", "train MoE", "train dense, older", "train MoE, older") == set(TRAIN_MISSES)


def test_generation_is_within_a_fifth_at_the_median_and_all_else_is_named() -> None:
    assert spread_of(held_out("rollout"), RATES).median <= 0.8 * TIME_PCT["rollout"]
    assert missed("rollout") == set(ROLLOUT_MISSES)


def test_steps_are_within_a_quarter_at_the_median_and_all_else_is_named() -> None:
    """None of them is fitted on."""
    assert spread_of(held_out("RL step"), RATES).median <= 25
    assert len(held_out("RL step")) == len(part("RL step"))
    assert missed("RL step", "weight sync") == set(STEP_MISSES)


def test_phases_of_a_step_are_within_a_fifth_at_the_median_but_training_and_all_else_is_named() -> None:
    """Of the few steps of which phases are published; none of them is fitted on."""
    assert spread_of(part("RL rollout"), RATES).median <= 10
    assert spread_of(part("RL log-probs"), RATES).highest <= 20
    assert missed("RL rollout", "RL train", "RL log-probs") == set(PHASE_MISSES)


def test_configurations_of_one_model_come_in_their_order() -> None:
    """By Spearman's coefficient, of four and more that one version of the software was measured on; one is named."""
    found = {name: value for name, value, _ in rank_correlations(EVERY, RATES)}
    assert len(found) >= 8
    assert {name for name, value in found.items() if value < 0.9} == set(RANK_MISSES)


def test_no_row_is_dropped_unseen() -> None:
    """Those left out say why; so many are compared."""
    assert {name: len(part(name)) for name in COUNTS} == COUNTS
    assert all(one.why for one in FOUND if isinstance(one, Skipped))


def test_both_halves_have_several_sources_and_none_is_in_both() -> None:
    timed = ("train dense", "train MoE", "rollout")
    halves = [{one.source for one in part(*timed) if one.is_fitted_on is half} for half in (True, False)]
    assert min(len(half) for half in halves) >= 6
    assert not halves[0] & halves[1]


def test_the_constants_are_those_that_the_fit_finds() -> None:
    """To the digits that are written down, from where they stand."""
    found = fit(EVERY, RATES, TIME)
    for name, (low, high) in TIME.ranges.items():
        assert getattr(found, name) == pytest.approx(getattr(RATES, name), abs=0.03 * (high - low)), name


def test_lengths_that_nobody_states_are_those_that_are_published() -> None:
    """The mean over the limit, of five workloads; and of one the ninety-ninth percentile over the median."""
    with (MEASURED / "response_lengths.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    fractions = [float(row["mean"]) / float(row["max_len"]) for row in rows if row["mean"] and row["max_len"]]
    assert len(fractions) == 5
    assert statistics.mean(fractions) == pytest.approx(MEAN_FRAC, abs=0.03)
    (tail,) = (float(row["p99"]) / float(row["median"]) for row in rows if row["p99"] and row["median"])
    assert log(tail) / 2.3263 == pytest.approx(SPREAD, abs=0.02)


def test_every_constant_is_fitted_and_there_are_at_most_a_dozen() -> None:
    assert set(TIME.ranges) == set(RATES._fields)
    assert len(RATES) <= 12
