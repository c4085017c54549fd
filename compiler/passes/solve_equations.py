"""Derives every field that an equation leaves as its only unknown.

Written values come first.  Where an equation still has several unknowns, the values that the schema assumes are taken
in the equation's declared order; what is left open after that is reported by the rules.
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.ir.catalogue import Catalogue
from compiler.ir.equations import EQUATIONS
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import read
from compiler.ir.provenance import Provenance
from compiler.ir.record import MISSING, Record
from compiler.passes._each_stage import StageEditor, each_stage

Further = Callable[[Experiment[Auto], Provenance], Experiment[Auto] | None]


def solve_equations(
    experiment: Experiment[Auto], origins: Provenance, _: Catalogue, further: Further | None = None
) -> Experiment[Auto]:
    """Solve to a fixed point, assuming defaults only where nothing else helps.

    Args:
        further: solves one more equation, one that the spec states, and returns None where there is none to solve.
    """
    if further is None:
        return each_stage(experiment, origins, _solve_stage, by="solve_equations")
    while True:
        experiment = solve_known(experiment, origins, further)
        assumed = each_stage(experiment, origins, _assume_first, by="solve_equations")
        if assumed == experiment:
            return experiment
        experiment = assumed


def solve_known(experiment: Experiment[Auto], origins: Provenance, further: Further) -> Experiment[Auto]:
    """Solve to a fixed point, and assume nothing."""
    while True:
        experiment = each_stage(experiment, origins, _solve_known, by="solve_equations")
        solved = further(experiment, origins)
        if solved is None:
            return experiment
        experiment = solved


def _solve_stage(editor: StageEditor) -> None:
    while _solve_once(editor) or _assume_once(editor):
        pass


def _solve_known(editor: StageEditor) -> None:
    while _solve_once(editor):
        pass


def _assume_first(editor: StageEditor) -> None:
    _assume_once(editor)


def _solve_once(editor: StageEditor) -> bool:
    for equation in EQUATIONS:
        values = equation.factors(editor.stage)
        unknowns = equation.unknowns(values)
        if len(unknowns) != 1:
            continue
        solution = equation.solve(unknowns[0], values).whole
        if solution is not None:
            inputs = equation.inputs(values, unknowns[0])
            editor.derive(unknowns[0], solution, inputs=inputs, by=equation.name)
            return True
    return False


def _assume_once(editor: StageEditor) -> bool:
    for equation in EQUATIONS:
        if len(equation.unknowns(equation.factors(editor.stage))) < 2:
            continue
        for field in equation.assume:
            if editor.is_open(field) and not _is_settled(editor.stage, field):
                editor.derive(field, assumed_value(editor.stage, field), kind="assumed", by=equation.name)
                return True
    return False


def _is_settled(stage: Record, field: str) -> bool:
    """Whether an equation says what a field must be, though no whole number is that: an assumption would hide it."""
    return any(equation.unknowns(equation.factors(stage)) == (field,) for equation in EQUATIONS)


def assumed_value(stage: Record, field: str) -> object:
    """Return what the schema assumes for a field."""
    table, _, name = field.rpartition(".")
    holder = read(stage, table)
    assumed = type(holder).fields()[name].assumed if isinstance(holder, Record) else MISSING
    if assumed is MISSING:
        raise KeyError(field)
    return assumed
