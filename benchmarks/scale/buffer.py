"""Samples per second of CPU time through the buffer between steps, against a look at each token's version.

Twice as many groups wait as a step takes; each step adds as many as it takes, drops what is stale, and takes those
that have waited longest.  Groups are not copied: their lengths cost nothing but the look at their versions.
"""

from __future__ import annotations

import itertools
import statistics
import time
from importlib import import_module
from typing import Any

from benchmarks.options import Options
from benchmarks.record import Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from runtime.buffer.rollout_buffer import Kept, RolloutBuffer, Selector, put, take
from stdlib.samples import Group, Prompt, Sample, SampleId, Segment

GROUPS, SAMPLES, TOKENS = 512, 8, 256
PEER = "a look"
_MOST_STALE = 4


def measure(options: Options) -> Report:
    """Measure steps of the buffer."""
    contestants = [Contestant(name=PEER, run=_look())]
    contestants.append(Contestant(name="fifo", run=_buffer(_fifo())))
    rounds = take_rounds(contestants, options.effort)
    count = GROUPS * SAMPLES
    step_s = statistics.median(r.found["fifo"]["cpu_s"] for r in rounds.counted())
    figures = [
        Figure(name="through the buffer", value=count / step_s, unit="samples/s of CPU"),
        Figure(name=f"buffer / {PEER}", value=rounds.ratio("fifo", PEER, of="cpu_s"), unit="x"),
    ]
    case = make_case(f"{GROUPS} groups of {SAMPLES} samples of {TOKENS} tokens", rounds, figures)
    return Report(benchmark="buffer", cases=[case], settings={"threads": 1, "waiting groups": 2 * GROUPS})


def _fifo() -> Selector:
    found: Any = import_module("stdlib.selectors.fifo")
    return found.select


def _groups(step: int) -> list[Group]:
    prompt = Prompt(row=0, source="", text="", tokens=(1,) * 8, label=None)
    segment = Segment(tokens=(2,) * TOKENS, is_sampled=True, logprobs=(-1.0,) * TOKENS, versions=(step,) * TOKENS)
    return [
        Group(
            prompt=prompt,
            samples=tuple(
                Sample(
                    id=SampleId(stage=0, step=step, group=group, sample=sample),
                    prompt=prompt,
                    segments=(segment,),
                    text="",
                    finish="stop",
                )
                for sample in range(SAMPLES)
            ),
        )
        for group in range(GROUPS)
    ]


def _buffer(select: Selector) -> Any:
    buffer, steps = RolloutBuffer(), itertools.count(2)
    for step in range(2):
        put(buffer.finished, [Kept(group=group) for group in _groups(step)])

    def run() -> Measurement:
        step = next(steps)
        groups = _groups(step)
        begun = time.process_time()
        put(buffer.finished, [Kept(group=group) for group in groups])
        buffer.drop_stale(step, _MOST_STALE)
        taken = take(buffer.finished, GROUPS, version=step, select=select)
        cpu_s = time.process_time() - begun
        assert len(taken) == GROUPS
        return {"cpu_s": cpu_s}

    return run


def _look() -> Any:
    groups = _groups(0)

    def run() -> Measurement:
        begun = time.process_time()
        oldest = [
            min(version for sample in group.samples for segment in sample.segments for version in segment.versions)
            for group in groups
        ]
        cpu_s = time.process_time() - begun
        assert set(oldest) == {0}
        return {"cpu_s": cpu_s}

    return run
