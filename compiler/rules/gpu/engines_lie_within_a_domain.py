"""Engines lie within a domain.

What: a warning where GPUs of several machines reach each other without a network card, as in a rack of 72, and some
engine that would fit into such a domain lies across the border of two.
Why it matters: an engine splits every layer over its GPUs; across the border each token waits for the network, so that
the slowest engine sets the time of a rollout.
Example: engines of 16 GPUs on machines of 4, of which 18 are a domain: every ninth engine lies across a border.
Fix: a size that divides the domain.
Source: PLACE-07; the column scaleup_gpus of stdlib/hardware.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import EngineGroup
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.planner.splits import heads_split
from compiler.rules._gpu_layout import divisors, fix, layout_of

CODE = "RLC0546"
ID = "PLACE-07"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report groups of which some engines lie across a border."""
    cluster, layout = subject.experiment.cluster, layout_of(subject)
    named = gpus_per_node(cluster.gpus_per_node)
    gpu = subject.catalogue.load_hardware().get(named.name) if named is not None else None
    if layout is None or named is None or gpu is None or gpu.scaleup_gpus < 2 * named.count:
        return
    if all(isinstance(stage.rollout, Off) for stage in subject.experiment.stages):
        return
    domain = gpu.scaleup_gpus // named.count * named.count
    for group in layout.placement.engine_groups():
        across = _across(group, domain)
        if not across or group.gpus > domain:
            continue
        kind = "disaggregation.prefill_gpus_per_engine" if group.role == "prefill" else "gpus_per_engine"
        path = f"placement.{kind}"
        near = [n for n in divisors(domain) if n % named.count == 0 or named.count % n == 0]
        model = subject.experiment.model
        near = [n for n in near if heads_split(model, n)]
        fitting = [n for n in near if group.engines * group.gpus % n == 0 and group.first_gpu % n == 0]
        yield Diagnostic(
            CODE,
            f"{across:,} of {group.engines:,} engines of {group.gpus:,} GPUs lie across two domains of {domain:,}",
            subject.labels(
                ("cluster.gpus_per_node", f"{domain // named.count:,} machines are a domain"),
                (path, f"{group.gpus:,} for one engine"),
            ),
            alternatives(*(fix(path, n) for n in sorted(fitting, key=lambda n: (abs(n - group.gpus), n))[:2])),
            rule=ID,
            severity="warning",
            paths=(path, "cluster.gpus_per_node"),
        )


def _across(group: EngineGroup, domain: int) -> int:
    """How many engines begin in one domain and end in another."""
    starts = range(group.first_gpu, group.first_gpu + group.engines * group.gpus, group.gpus)
    return sum(start // domain != (start + group.gpus - 1) // domain for start in starts)
