"""Ways out of a broken equation: solved exactly, at most three, the user's own fields changed last."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Help
from compiler.ir.equations import Equation
from compiler.ir.paths import read
from compiler.ir.subject import StageSubject

MOST = 3
_REACH = 4096
_RANK = {"default": 0, "assumed": 0, "derived": 0, "inherited": 0, "recipe": 1, "spec": 2, "override": 3}


def equation_values(stage: StageSubject, equation: Equation) -> dict[str, int | None]:
    """Return the factors that the stage has: numbers, or None where nobody has decided."""
    values: dict[str, int | None] = {}
    for field in equation.fields:
        try:
            value = read(stage.stage, field)
        except KeyError:
            continue
        values[field] = value if isinstance(value, int) else None
    return values


def solved_fixes(stage: StageSubject, equation: Equation, values: dict[str, int | None]) -> tuple[Help, ...]:
    """Return fixes for an equation that does not hold, or that no whole number solves."""
    fields = [f for f in reversed(equation.fields) if f in values]
    fields.sort(key=lambda f: _rank(stage, f))
    found: list[Help] = []
    for field in fields:
        solution = _whole(equation, field, values)
        if solution is None or solution == values[field]:
            continue
        if field in equation.assume and stage.written(field):
            shown = stage.shown(field)
            found.append(Help(f"leave {shown} out: it is then derived as {solution}"))
        found.append(stage.fix(field, solution, "keeps every other field"))
    if not found:
        found = _pairs(stage, equation, values, fields)
    return tuple(found[:MOST])


def _rank(stage: StageSubject, field: str) -> int:
    origin = stage.subject.origins.get(stage.path(field))
    return _RANK[origin.kind] if origin else 0


def _whole(equation: Equation, field: str, values: dict[str, int | None]) -> int | None:
    others = {f: v for f, v in values.items() if f != field}
    if None in others.values() or 0 in others.values():
        return None
    solution = equation.solve(field, others)
    return int(solution) if solution.denominator == 1 and solution >= 1 else None


def _pairs(stage: StageSubject, equation: Equation, values: dict[str, int | None], fields: list[str]) -> list[Help]:
    """No single field helps: move one to its nearest value that lets another one be whole."""
    found: list[Help] = []
    for free in fields:
        for moved in fields:
            near = None if moved == free else _nearest(equation, free, moved, values)
            if near is None:
                continue
            value, solution = near
            first, second = stage.fix(moved, value), stage.fix(free, solution)
            found.append(Help(f"{first.text} and {stage.shown(free)} = {solution}", first.sets + second.sets))
            break
    return found


def _nearest(equation: Equation, free: str, moved: str, values: dict[str, int | None]) -> tuple[int, int] | None:
    start = values[moved]
    if start is None:
        return None
    for distance in range(1, _REACH):
        for value in (start - distance, start + distance):
            if value >= 1:
                solution = _whole(equation, free, {**values, moved: value})
                if solution is not None:
                    return value, solution
    return None
