"""Time to pack a million sequences, how full micro-batches are, and the time of a first fit that looks at every bin.

Lengths are log-normal with a median of 1,480 tokens, cut at 16,384, the budget.  The search from the first bin takes
time with the square of the number, so it is compared at a size that it can do.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial

from benchmarks.options import Options
from benchmarks.record import Case, Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from runtime.packing.best_fit import best_fit_decreasing
from runtime.packing.bins import Bins, by_descending_length
from runtime.packing.concatenative import concatenative
from runtime.packing.fill import fill_of
from runtime.packing.first_fit import first_fit_decreasing, first_fit_shuffle
from runtime.packing.modified_first_fit import modified_first_fit_decreasing
from runtime.packing.partition import karmarkar_karp

MILLION, FEWER = 1_000_000, 20_000
BUDGET = 16_384
NUM_RANKS = 512
MOST_CPU_S = 10.0
LEAST_FILL = 0.95

Pack = Callable[[Sequence[int]], Bins]

WAYS: dict[str, Pack] = {
    "best_fit_decreasing": partial(best_fit_decreasing, max_tokens=BUDGET),
    "modified_first_fit_decreasing": partial(modified_first_fit_decreasing, max_tokens=BUDGET),
    "first_fit_decreasing": partial(first_fit_decreasing, max_tokens=BUDGET),
    "first_fit_shuffle": partial(first_fit_shuffle, max_tokens=BUDGET, seed=0),
    "concatenative": partial(concatenative, max_tokens=BUDGET),
}


def measure(options: Options) -> Report:
    """Measure every way of packing and a balanced partition of a million, and two of them against the plain search."""
    num_rounds = max(1, min(3, options.effort.rounds))
    lengths = _lengths(MILLION)
    figures: list[Figure] = []
    medians: dict[str, dict[str, float]] = {}
    for name, pack in WAYS.items():
        runs = [_timed(pack, lengths) for _ in range(num_rounds)]
        cpu_s, full = statistics.median(cpu_s for cpu_s, _ in runs), _utilization(runs[0][1], lengths)
        medians[name] = {"cpu_s": cpu_s, "utilization": full}
        figures.append(_time(name, cpu_s))
        bound = None if name == "concatenative" else LEAST_FILL
        figures.append(Figure(name=f"fill, {name}", value=full, unit="of the budget", bound=bound))
    balanced = f"{NUM_RANKS} parts of even tokens"
    cpu_s = statistics.median(
        _timed(partial(karmarkar_karp, num_parts=NUM_RANKS), lengths)[0] for _ in range(num_rounds)
    )
    medians[balanced] = {"cpu_s": cpu_s}
    figures.append(_time(balanced, cpu_s))
    million = Case(
        name="a million sequences", figures=figures, medians=medians, num_rounds=num_rounds, num_quiet=num_rounds
    )
    settings = {"sequences": MILLION, "sequences against the search": FEWER, "budget": BUDGET}
    return Report(benchmark="packing", cases=[million, _against_a_search(options)], settings=settings)


def search_from_the_first_bin(lengths: Sequence[int]) -> Bins:
    """First-fit decreasing as one would write it down."""
    bins: Bins = []
    rooms: list[int] = []
    for i in by_descending_length(lengths):
        length = lengths[i]
        for chosen, room in enumerate(rooms):
            if length <= room:
                bins[chosen].append(i)
                rooms[chosen] = room - length
                break
        else:
            bins.append([i])
            rooms.append(BUDGET - length)
    return bins


def _against_a_search(options: Options) -> Case:
    lengths = _lengths(FEWER)
    plain = "search from the first bin"
    ways = {plain: search_from_the_first_bin, **WAYS}
    rounds = take_rounds(
        [Contestant(name=name, run=partial(_measured, pack, lengths)) for name, pack in ways.items()], options.effort
    )
    figures = [
        Figure(name=f"{plain} / {name}", value=rounds.ratio(plain, name, of="cpu_s"), unit="x", bound=1.0)
        for name in WAYS
    ]
    return make_case(f"{FEWER:,} sequences", rounds, figures)


def _lengths(count: int) -> list[int]:
    draw = random.Random(0)
    return [min(BUDGET, 1 + int(draw.lognormvariate(7.3, 0.9))) for _ in range(count)]


def _timed(pack: Pack, lengths: Sequence[int]) -> tuple[float, Bins]:
    start = time.process_time()
    bins = pack(lengths)
    return time.process_time() - start, bins


def _measured(pack: Pack, lengths: Sequence[int]) -> Measurement:
    return {"cpu_s": _timed(pack, lengths)[0]}


def _utilization(bins: Bins, lengths: Sequence[int]) -> float:
    return fill_of(bins, lengths, max_tokens=BUDGET).utilization


def _time(name: str, cpu_s: float) -> Figure:
    return Figure(name=f"CPU time, {name}", value=cpu_s, unit="s", bound=MOST_CPU_S, sense="at most")
