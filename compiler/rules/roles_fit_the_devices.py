"""Roles fit the devices.

What: roles that do not share devices need at least one device each, and one process needs one machine.
Why it matters: a placement that cannot be made waits for ever, or fails after every other actor has started.
Example: `placement.mode = "split"` on a target with one device.
Fix: `placement.mode = "colocate"`.
Source: PLACE-01.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.subject import Subject

CODE = "RLC0504"
ID = "PLACE-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report split placements on one device, and machines that nothing would use."""
    cluster, placement = subject.experiment.cluster, subject.experiment.placement
    target = subject.catalogue.load_target(cluster.target)
    devices = target.devices_per_node * cluster.nodes
    if placement.mode == "split" and devices < 2:
        yield Diagnostic(
            CODE,
            f"a split placement needs 2 devices, target {target.name} has {devices}",
            subject.labels(("cluster.target", f"{devices} device"), ("placement.mode", "one for each role")),
            (Help('set placement.mode = "colocate"', (("placement.mode", '"colocate"'),)),),
            rule=ID,
            paths=("placement.mode", "cluster.target"),
        )
    if cluster.nodes > 1 and "ray" not in target.executors:
        yield Diagnostic(
            CODE,
            f"{cluster.nodes} nodes are asked for, and everything on target {target.name} runs in one process",
            subject.labels(("cluster.target", "one process"), ("cluster.nodes", "all but one would be idle")),
            (Help("set cluster.nodes = 1", (("cluster.nodes", "1"),)),),
            rule=ID,
            paths=("cluster.nodes", "cluster.target"),
        )
