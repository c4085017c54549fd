"""Routers know their engines.

What: a router, and engines of two kinds, are asked for where a stage has rollout engines, and of an engine that the
target's router speaks to.
Why it matters: the router asks an engine for its model and its load by that engine's own interface, and pairs an engine
that reads prompts with one that generates by fields of a request that others do not have. Where nothing is sampled it
waits for engines that nobody starts.
Example: `[placement.disaggregation]` beside `rollout.engine.name = "vllm"`.
Fix: the engine that the router knows, or no such table: the run spreads requests over engines by itself.
Source: PLACE-06; targets/gpu/base.toml, `routed`.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.sides import has_engine
from compiler.ir.subject import Subject, toml_literal

CODE = "RLC0545"
ID = "PLACE-06"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report a router without engines that it knows."""
    placement, target = subject.experiment.placement, subject.catalogue.load_target(subject.experiment.cluster.target)
    if not isinstance(placement, GpuPlacement):
        return
    if not isinstance(placement.disaggregation, Off):
        table, asked = "placement.disaggregation", "placement.disaggregation.prefill_engines"
    elif not isinstance(placement.router, Off):
        table, asked = "placement.router", _written(subject)
    else:
        return
    unset = Help(f"delete [{table}]: the run spreads requests over engines by itself")
    sampling = [stage for stage in subject.stages() if has_engine(stage.stage)]
    if not sampling:
        labels = subject.labels((asked, "in front of nothing"))
        yield Diagnostic(CODE, "no stage has a rollout engine", labels, (unset,), rule=ID, paths=(asked,))
        return
    for stage in sampling:
        rollout = stage.stage.rollout
        assert not isinstance(rollout, Off), "an engine samples"
        engine = rollout.engine.name
        if not isinstance(engine, str) or engine in target.routed or engine not in target.rollout_engines:
            continue
        path = stage.path("rollout.engine.name")
        shown = subject.shown(path)
        ways = [Help(f"set {shown} = {toml_literal(one)}", ((shown, toml_literal(one)),)) for one in target.routed]
        yield Diagnostic(
            CODE,
            f"the router of target {target.name} does not speak to engine {engine}",
            subject.labels((asked, "asks for it"), (path, "not one of its engines")),
            alternatives(*ways, unset),
            rule=ID,
            paths=(path, asked),
        )
        return


def _written(subject: Subject) -> str:
    """A field of the router that the spec says, or its first one."""
    names = type(subject.experiment.placement).fields()["router"].kind.records[0].fields()
    paths = [f"placement.router.{name}" for name in names]
    return next((path for path in paths if subject.written(path)), paths[0])
