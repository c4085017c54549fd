"""Judges have their GPUs.

What: a judge that the plan places, by `[placement.judge]`, is asked by some stage, whose `reward.judge.url` says
`{judge}`; and a url that says so has such a table. Its GPUs are whole engines that lie within a machine or use whole
ones, behind those of both sides; all stages ask for it by one name; and its weights fit.
Why it matters: GPUs of a judge that nobody asks are paid for and idle; a url without a judge is no address, and fails
at the first response; weights that do not fit fail when both other sides have loaded theirs.
Example: `url = "http://{judge}/v1/chat/completions"` without `[placement.judge]`.
Fix: the table, or the address of a judge that somebody else serves.
Source: REWARD-06; targets/gpu/base.toml, `routed`.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.hardware import GpusPerNode, gpus_per_node
from compiler.ir.machine import JUDGE_SHARE, GpuPlacement, Judge
from compiler.ir.openness import Off
from compiler.ir.sides import judges, placed_judges
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import divisors, fix

CODE = "RLC0548"
ID = "REWARD-06"
_GPUS, _EACH, _GIB = "placement.judge.gpus", "placement.judge.gpus_per_engine", "placement.judge.weights_gib"
_DROPPED = Help("delete [placement.judge]: the judge is served by somebody else")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report judges without GPUs, GPUs without a question, and engines that are none."""
    placement, cluster = subject.experiment.placement, subject.experiment.cluster
    if not isinstance(placement, GpuPlacement):
        return
    asked = [stage.path(path) for stage in subject.stages() for path, _ in placed_judges(stage.stage)]
    judge, named = placement.judge, gpus_per_node(cluster.gpus_per_node)
    if isinstance(judge, Off):
        if asked:
            url = f"{asked[0]}.url"
            message = "the url asks a judge that the plan places, and there is no [placement.judge]"
            way = Help("write [placement.judge] with weights, weights_gib and gpus; or the address of a judge")
            yield Diagnostic(CODE, message, subject.labels((url, "whose?")), (way,), rule=ID, paths=(url,))
        return
    if not asked:
        others = [f"{stage.path(path)}.url" for stage in subject.stages() for path, _ in judges(stage.stage)]
        literal = '"http://{judge}/v1/chat/completions"'
        ways = [Help(f"set {subject.shown(url)} = {literal}", ((subject.shown(url), literal),)) for url in others[:1]]
        labels = subject.labels((_GPUS, "never asked"), *((url, "somebody else's") for url in others[:1]))
        message = f"no reward asks the judge that has {judge.gpus:,} GPUs"
        yield Diagnostic(CODE, message, labels, alternatives(*ways, _DROPPED), rule=ID, paths=(_GPUS, *others[:1]))
        return
    names = {one.model for stage in subject.stages() for _, one in placed_judges(stage.stage)}
    if len(names) > 1:
        paths = tuple(f"{path}.model" for path in asked)
        message = f"one judge is asked by {len(names)} names: {', '.join(sorted(names))}"
        labels = subject.labels(*((path, "this name") for path in paths[:2]))
        yield Diagnostic(CODE, message, labels, (Help("ask for it by one name"),), rule=ID, paths=paths)
    if named is not None:
        yield from _uneven(subject, judge, named)


def _uneven(subject: Subject, judge: Judge, named: GpusPerNode) -> Iterator[Diagnostic]:
    total, each, unit = named.count * subject.experiment.cluster.nodes, judge.gpus_per_engine, named.count
    if judge.gpus >= total:
        message = f"a judge of {judge.gpus:,} GPUs leaves none of {total:,} for training"
        ways = [fix(_GPUS, total // 2)] if total > 1 else []
        labels = subject.labels(("cluster.gpus_per_node", f"{unit:,} on a machine"), (_GPUS, "all of them"))
        yield Diagnostic(CODE, message, labels, alternatives(*ways, _DROPPED), rule=ID, paths=(_GPUS,))
        return
    fits = [n for n in divisors(judge.gpus) if (unit % n == 0 if n <= unit else n % unit == 0)]
    fits = [n for n in fits if (total - judge.gpus) % min(n, unit) == 0]
    gpu = subject.catalogue.load_hardware().get(named.name)
    room = JUDGE_SHARE * gpu.memory_gib if gpu is not None else 0.0
    if each not in fits:
        message = f"engines of {each:,} GPUs do not divide the {judge.gpus:,} of the judge on machines of {unit:,}"
        labels = subject.labels((_GPUS, f"{judge.gpus:,} of its own"), (_EACH, f"{each:,} for one engine"))
        near = sorted(sorted(fits, key=lambda n: (abs(n - each), n))[:2])
        yield Diagnostic(
            CODE, message, labels, alternatives(*(fix(_EACH, n) for n in near)), rule=ID, paths=(_GPUS, _EACH)
        )
    elif gpu is not None and judge.weights_gib / each >= room:
        message = f"{judge.weights_gib / each:,.1f} GiB of a judge's weights leave no room on a GPU of "
        message += f"{gpu.memory_gib:,} GiB"
        larger = [n for n in fits if judge.weights_gib / n < room]
        note = f"then {judge.weights_gib / larger[0]:,.1f} GiB a GPU" if larger else ""
        ways = [fix(_EACH, larger[0], note)] if larger else []
        labels = subject.labels((_GIB, f"{judge.weights_gib:,} GiB"), (_EACH, f"over {each:,}"))
        yield Diagnostic(CODE, message, labels, alternatives(*ways), rule=ID, paths=(_GIB, _EACH))
