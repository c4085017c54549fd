"""Parallelism fills the GPUs.

What: training GPUs = dp x tp x pp x cp, in whole numbers; and within a pipeline stage the same GPUs are
edp x ep x etp, for experts.
Why it matters: a mesh that does not fill its GPUs fails when process groups are made, on every rank at once; an expert
mesh that does not is found only when the first expert layer is built.
Example: `parallel.tp = 3` on 8 GPUs.
Fix: take sizes whose product divides the GPUs; what is left over is data parallelism.
Source: PAR-01.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.rules._gpu_layout import Layout, divisors, fills_the_gpus, fix, layout_of, near_divisors, size

CODE = "RLC0506"
ID = "PAR-01"
_DENSE = ("tp", "pp", "cp")
_WORDS = {
    "tp": "every layer over {} GPUs",
    "pp": "layers in {} stages",
    "cp": "every sequence over {} GPUs",
    "dp": "{} copies",
    "ep": "experts over {} GPUs",
    "etp": "every expert over {} GPUs",
}


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report meshes that do not fill the training GPUs."""
    layout = layout_of(subject)
    if layout is None or not isinstance(layout.placement.train_gpus, int):
        return
    gpus = layout.placement.train_gpus
    axes = {name: size(getattr(layout.parallel, name)) for name in (*_DENSE, "dp")}
    if not fills_the_gpus(layout):
        yield _dense(subject, axes, gpus)
    elif not isinstance(subject.experiment.model.moe, Off):
        yield from _experts(subject, layout, gpus // axes["pp"])


def _dense(subject: Subject, axes: dict[str, int], gpus: int) -> Diagnostic:
    said = [
        (f"parallel.{n}", _WORDS[n].format(v)) for n, v in axes.items() if v > 1 or subject.written(f"parallel.{n}")
    ]
    # What a requirement makes of data parallelism is as fixed as what is written.
    origin = subject.origins.get("parallel.dp")
    has_dp = origin is not None and origin.span is not None
    ways: list[Help] = []
    for name in (*_DENSE, "dp"):
        others = 1
        for other, value in axes.items():
            others *= value if other != name and (other != "dp" or has_dp) else 1
        if subject.written(f"parallel.{name}") and gpus % others == 0:
            fitting = [n for n in divisors(gpus // others) if n != axes[name]]
            if name == "dp" or has_dp:
                fitting = [gpus // others]
            near = sorted(fitting, key=lambda n: abs(n - axes[name]))[:1]
            ways += [fix(f"parallel.{name}", n) for n in near]
    product = " x ".join(f"{n} {v}" for n, v in axes.items() if n != "dp" or has_dp)
    return Diagnostic(
        CODE,
        f"{product} does not fill {gpus:,} training GPUs",
        subject.labels(("cluster.gpus_per_node", f"{gpus:,} of them train"), *said),
        alternatives(*ways),
        rule=ID,
        paths=("placement.train_gpus", *(f"parallel.{name}" for name in axes)),
    )


def _experts(subject: Subject, layout: Layout, in_a_stage: int) -> Iterator[Diagnostic]:
    ep, etp = size(layout.parallel.ep), size(layout.parallel.etp)
    if in_a_stage % (ep * etp) == 0:
        return
    ways: list[Help] = []
    if in_a_stage % etp == 0:
        fitting = [n for n in divisors(in_a_stage // etp) if n <= ep]
        ways += [fix("parallel.ep", n) for n in reversed(fitting[-2:])]
    if in_a_stage % ep == 0:
        ways += [fix("parallel.etp", n) for n in near_divisors(in_a_stage // ep, etp, most=1)]
    if not ways:
        first, second = fix("parallel.ep", near_divisors(in_a_stage, ep, most=1)[0]), fix("parallel.etp", 1)
        ways = [Help(f"{first.text} and parallel.etp = 1", first.sets + second.sets)]
    yield Diagnostic(
        CODE,
        f"experts over ep x etp = {ep} x {etp} GPUs do not fill the {in_a_stage:,} of one pipeline stage",
        subject.labels(("parallel.etp", _WORDS["etp"].format(etp)), ("parallel.ep", _WORDS["ep"].format(ep))),
        alternatives(*ways),
        rule=ID,
        paths=("parallel.ep", "parallel.etp", "parallel.pp"),
    )
