"""Engines fit the nodes.

What: rollout engines use up their GPUs, and an engine lies within one machine or uses whole machines.
Why it matters: GPUs behind the last engine are paid for and idle; an engine whose layers are split across a network
card in the middle of a machine is slow, or refused by the engine's launcher.
Example: `gpus_per_engine = 3` on 8 GPUs.
Fix: a divisor of a machine's GPUs, or a multiple of them.
Source: PLACE-04; slime's placement table, the row on engines of several machines.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.hardware import gpus_per_node
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import divisors, fix, layout_of

CODE = "RLC0509"
ID = "PLACE-04"
_FIELD = "placement.gpus_per_engine"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report engines that leave GPUs over, or straddle machines."""
    layout = layout_of(subject)
    named = gpus_per_node(subject.experiment.cluster.gpus_per_node)
    if layout is None or named is None or not isinstance(layout.placement.rollout_gpus, int):
        return
    if not isinstance(layout.placement.disaggregation, Off):
        return  # RLC0544 counts engines of two kinds
    if all(isinstance(stage.rollout, Off) for stage in subject.experiment.stages):
        return
    each, gpus = layout.each, layout.placement.rollout_gpus
    on_a_node = named.count
    straddles = on_a_node % each != 0 if each <= on_a_node else each % on_a_node != 0
    if gpus % each == 0 and not straddles:
        return
    if gpus % each:
        message = f"engines of {each:,} GPUs leave {gpus % each:,} of {gpus:,} idle"
    else:
        message = f"an engine of {each:,} GPUs straddles machines of {on_a_node:,}"
    fitting = [n for n in divisors(gpus) if on_a_node % n == 0 or n % on_a_node == 0]
    near = sorted(sorted(fitting, key=lambda n: (abs(n - each), n))[:3])
    labels = subject.labels(
        ("cluster.gpus_per_node", f"{on_a_node:,} on a machine"),
        ("placement.rollout_gpus", f"{gpus:,} generate"),
        (_FIELD, f"{each:,} for one engine"),
    )
    ways = alternatives(*(fix(_FIELD, n) for n in near if n != each))
    yield Diagnostic(CODE, message, labels, ways, rule=ID, paths=(_FIELD, "placement.rollout_gpus"))
