"""Ports of a machine differ.

What: the port of the router is none that engines, the trainer or Ray use on the same machine.
Why it matters: whoever starts second finds the port taken and ends, after the others have loaded their weights.
Example: `placement.router.port = 15000`, on which the first engine of that machine answers.
Fix: another port; leave it out for one that is free.
Source: PLACE-08; `[ports]` of targets/launch/, `ray start` of Ray 2.60.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import fix, layout_of

CODE = "RLC0547"
ID = "PLACE-08"
_PORT = "placement.router.port"
# What Ray has on every machine, as compiler/emit/artefacts/_ray.py writes it down, and its head's own.
RAY_PORTS = (6379, 6380, 6381, 8090, 8265, 10001, 52365, 52366, 52367)
RAY_WORKERS = range(20000, 30000)


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report a port of the router that somebody else has."""
    placement, layout = subject.experiment.placement, layout_of(subject)
    if layout is None or not isinstance(placement, GpuPlacement) or isinstance(placement.router, Off):
        return
    groups, train = placement.engine_groups(), placement.train_gpus
    if not isinstance(placement.launches, tuple) or not groups or not isinstance(train, int):
        return
    if max(train, *(group.first_gpu + group.engines * group.gpus for group in groups)) > layout.total:
        return  # other rules say so
    from compiler.ir.bundles import bundles_of

    first = bundles_of(subject.experiment).bundles[0].seats
    own = {port for seat in first if seat.role == "router" for port in seat.ports}
    who = {port: "Ray" for port in own if port in RAY_PORTS or port in RAY_WORKERS}
    for seat in first:
        who |= {port: f"the {seat.role} engine" for port in own & set(seat.ports) if seat.role != "router"}
    if who:
        port = min(who)
        default = type(placement.router).fields()["port"].default
        yield Diagnostic(
            CODE,
            f"port {port:,} of the first machine is the router's, and that of {who[port]}",
            subject.labels((_PORT, "taken")),
            (fix(_PORT, default),),
            rule=ID,
            paths=(_PORT,),
        )
