"""What the rules about GPUs share: the layout where it is complete, and fixes that set one field of it."""

from __future__ import annotations

from math import isqrt

from compiler.diagnostics.diagnostic import Help
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import Auto
from compiler.ir.subject import Subject, toml_literal

_MOST_TRIED = 2**16


class Layout(NamedTuple):
    """The two tables, on a target with GPUs that are named; `total` are those of both sides, without a judge's."""

    parallel: Parallel[Auto]
    placement: GpuPlacement[Auto]
    total: int

    @property
    def each(self) -> int:
        """GPUs of one rollout engine."""
        return size(self.placement.gpus_per_engine)


def layout_of(subject: Subject) -> Layout | None:
    """Return the layout of an experiment, or None where there are no GPUs, or nobody knows which."""
    experiment = subject.experiment
    parallel, placement, total = experiment.parallel, experiment.placement, experiment.cluster.num_gpus
    if not isinstance(parallel, Parallel) or not isinstance(placement, GpuPlacement):
        return None
    total = total - placement.judge_gpus() if isinstance(total, int) else 0
    return Layout(parallel, placement, total) if total > 0 else None


def fills_the_gpus(layout: Layout) -> bool:
    """Whether tp x pp x cp, times dp where it is known, is the number of training GPUs: what RLC0506 asks for."""
    parallel, gpus = layout.parallel, layout.placement.train_gpus
    product = size(parallel.tp) * size(parallel.pp) * size(parallel.cp)
    if not isinstance(gpus, int):
        return True
    return gpus % product == 0 and (not isinstance(parallel.dp, int) or product * parallel.dp == gpus)


def size(value: object) -> int:
    """Return the size of an axis; one that is open counts as 1."""
    return value if isinstance(value, int) else 1


def fix(path: str, value: object, note: str = "") -> Help:
    """Return the help that sets one field."""
    literal = toml_literal(value)
    return Help(f"set {path} = {literal}" + (f"        {note}" if note else ""), ((path, literal),))


def divisors(number: int) -> list[int]:
    """Return the divisors of a number in order.

    All of them up to 2**32; of a larger number, which counts nothing that there is, those below 2**16 and their
    cofactors.
    """
    few = [n for n in range(1, min(isqrt(number), _MOST_TRIED) + 1) if number % n == 0]
    return sorted({*few, *(number // n for n in few)})


def near_divisors(number: int, wanted: int, *, most: int = 3) -> list[int]:
    """Return the divisors of a number that are nearest to another one, in order."""
    return sorted(sorted(divisors(number), key=lambda n: (abs(n - wanted), n))[:most])
