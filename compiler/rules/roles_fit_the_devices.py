"""Roles fit the devices.

What: roles that do not share devices need at least one device each, and without GPUs one machine is enough.
Why it matters: a placement that cannot be made waits for ever, or fails after every other actor has started.
Where both sides have GPUs of their own, these are all of the cluster's; where they share, each side has all of them.
Example: `placement.mode = "split"` on a target with one device, or 4 + 8 GPUs out of 8.
Fix: `placement.mode = "colocate"`, or leave one side out: it has what the other leaves over.
Source: PLACE-01.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import fix, layout_of

CODE = "RLC0504"
ID = "PLACE-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report split placements on one device, and machines that nothing would use."""
    cluster, placement = subject.experiment.cluster, subject.experiment.placement
    target = subject.catalogue.load_target(cluster.target)
    if target.vendor:
        yield from _sides(subject)
        return
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
    if cluster.nodes > 1:
        yield Diagnostic(
            CODE,
            f"{cluster.nodes} nodes are asked for, and everything on target {target.name} runs on one machine",
            subject.labels(("cluster.target", "one machine"), ("cluster.nodes", "all but one would be idle")),
            (Help("set cluster.nodes = 1", (("cluster.nodes", "1"),)),),
            rule=ID,
            paths=("cluster.nodes", "cluster.target"),
        )


def _sides(subject: Subject) -> Iterator[Diagnostic]:
    """With GPUs: both sides together have all of them, or each has all where they share."""
    layout = layout_of(subject)
    if layout is None:
        return
    placement, total = layout.placement, layout.total
    train, rollout = placement.train_gpus, placement.rollout_gpus
    if placement.mode == "colocate":
        for path, number in (("placement.train_gpus", train), ("placement.rollout_gpus", rollout)):
            if isinstance(number, int) and number != total:
                said = ((path, f"{number:,} of {total:,}"), ("placement.mode", "each side has all GPUs"))
                yield _split(
                    subject, f"sides that share {total:,} GPUs cannot have {number:,}", said, (fix(path, total),)
                )
        return
    if not isinstance(train, int) or not isinstance(rollout, int):
        given = train if isinstance(train, int) else rollout
        half = total // 2
        if isinstance(given, int):
            path = "placement.train_gpus" if isinstance(train, int) else "placement.rollout_gpus"
            ways = (fix(path, half),) if half else ()
            yield _split(subject, f"{given:,} of {total:,} GPUs leave none for the other side", ((path, "all"),), ways)
            return
        ways = (fix("placement.train_gpus", half, f"{total - half:,} then generate"),) if half else ()
        said = (("placement.mode", "how many GPUs for each side?"),)
        yield _split(subject, f"nothing divides {total:,} GPUs between training and rollout", said, ways)
    elif train + rollout != total:
        more = "more" if train + rollout > total else "fewer"
        said = (("placement.train_gpus", f"{train:,} train"), ("placement.rollout_gpus", f"{rollout:,} generate"))
        ways = [fix("placement.rollout_gpus", total - train)] if train < total else []
        ways += [fix("placement.train_gpus", total - rollout)] if rollout < total else []
        yield _split(subject, f"{train:,} + {rollout:,} GPUs are {more} than the {total:,} there are", said, ways)


def _split(subject: Subject, message: str, said: Sequence[tuple[str, str]], ways: Sequence[Help]) -> Diagnostic:
    paths = ("placement.mode", "placement.train_gpus", "placement.rollout_gpus")
    labels = subject.labels(("cluster.gpus_per_node", "of each machine"), *said)
    return Diagnostic(CODE, message, labels, alternatives(*ways), rule=ID, paths=paths)
