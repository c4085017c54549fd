"""Experiment -> Plan: the only constructor of a Plan from an experiment.

What a Plan holds is an `Experiment[Never]`.  The check that nothing is open is made here, once, at run time; from then
on the type checker knows it.
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.diagnostics.annotations import Never, cast
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.catalogue import Gpu
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import leaves
from compiler.ir.plan import Plan
from compiler.planner.forecast import forecast


def freeze(experiment: Experiment[Auto], hardware: Callable[[], dict[str, Gpu]] = dict) -> Plan:
    """Return the plan of a resolved experiment.

    Args:
        hardware: loads the GPUs that are known; what is forecast of the time of a step needs theirs.

    Raises: InternalError if a pass and the rules left something open.
    """
    still_open = [path for path, value in leaves(experiment) if isinstance(value, Auto)]
    if still_open:
        raise InternalError(f"freeze: still open: {', '.join(still_open)}")
    closed = cast("Experiment[Never]", experiment)
    return Plan(experiment=closed, forecast=forecast(closed, hardware))
