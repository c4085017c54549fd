"""Ways out of a broken equation: solved exactly, at most three, the user's own fields changed last."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Help, alternatives
from compiler.ir.equations import EQUATIONS, Equation, Factors
from compiler.ir.paths import read
from compiler.ir.record import Record
from compiler.ir.subject import StageSubject

_REACH = 4096
_NOTE = "keeps every other field"
_RANK = {"default": 0, "assumed": 0, "derived": 0, "inherited": 0, "recipe": 1, "spec": 2, "shrunk": 3, "override": 4}


def said_values(stage: StageSubject, values: Factors) -> list[tuple[str, str]]:
    """Return what each known factor contributes, for labels; one that was derived is said where it comes from."""
    said: list[tuple[str, str]] = []
    for field, value in values.items():
        origin = stage.subject.origins.get(stage.path(field))
        if value is None or origin is None:
            continue
        inputs = [f for e in EQUATIONS for f in reversed(e.fields) if stage.path(f) in origin.inputs]
        sources = [f for f in inputs if stage.written(f) and f not in values]
        if stage.labels((field, "")):
            said.append((field, counted(value, _unit(stage, field))))
        elif sources:
            said.append((sources[0], f"makes {stage.shown(field)} = {value:,}"))
    return said


def counted(number: int, unit: str) -> str:
    """Return a number with its unit: `1 optimizer step`, `1,024 samples`."""
    return f"{number:,} {unit.removesuffix('s') if number == 1 else unit}"


def solved_fixes(stage: StageSubject, equation: Equation, values: Factors) -> tuple[Help, ...]:
    """Return fixes for an equation that does not hold, or that no whole number solves; none breaks another equation."""
    fields = [f for f in reversed(equation.fields) if f in values]
    fields = [f for f in fields if f not in equation.methods or stage.written(f)]
    fields.sort(key=lambda f: _rank(stage, f))
    unknowns = equation.unknowns(values)
    if unknowns:
        found = _moves(stage, equation, values, fields, free=unknowns[0])
    else:
        found = _solutions(stage, equation, values, fields) or _pairs(stage, equation, values, fields)
        if all(way.text.endswith(_NOTE) for way in found[:3]):  # then it tells nothing apart
            found = [way._replace(text=way.text.removesuffix(_NOTE).rstrip()) for way in found]
    return alternatives(*found)


def _solutions(stage: StageSubject, equation: Equation, values: Factors, fields: list[str]) -> list[Help]:
    """Each field that can be made to fit all the others."""
    found: list[Help] = []
    for field in fields:
        solution = _whole(equation, field, values)
        if solution is None or _breaks_another(stage, equation, {field: solution}):
            continue
        is_free = field in equation.assume and stage.written(field)
        if is_free:
            shown = stage.shown(field)
            found.append(Help(f"leave {shown} out: it is then derived as {solution}", unsets=(shown,)))
        note = _NOTE if _rank(stage, field) > 1 and not is_free else ""
        found.append(stage.fix(field, solution, note))
    return found


def _moves(stage: StageSubject, equation: Equation, values: Factors, fields: list[str], *, free: str) -> list[Help]:
    """Each known field at its nearest value that makes the unknown whole."""
    found: list[Help] = []
    for moved in fields:
        near = None if moved == free else _nearest(stage, equation, values, free=free, moved=moved)
        if near is not None:
            way = stage.fix(moved, near[0])
            found.append(way._replace(text=f"{way.text}: {stage.shown(free)} is then derived as {near[1]}"))
    return found


def _unit(stage: StageSubject, field: str) -> str:
    table, _, name = field.rpartition(".")
    record = read(stage.stage, table)
    return type(record).fields()[name].unit if isinstance(record, Record) else ""


def _rank(stage: StageSubject, field: str) -> int:
    origin = stage.subject.origins.get(stage.path(field))
    return _RANK[origin.kind] if origin else 0


def _whole(equation: Equation, field: str, values: Factors) -> int | None:
    others = {f: v for f, v in values.items() if f != field}
    if None in others.values() or 0 in others.values():
        return None
    return equation.solve(field, others).whole


def _breaks_another(stage: StageSubject, equation: Equation, changes: Factors) -> bool:
    """Whether some other equation could not hold after the changes; what nobody wrote is derived anew."""
    for other in EQUATIONS:
        if other == equation or changes.keys().isdisjoint(other.fields):
            continue
        values = other.factors(stage.stage)
        known = {f: changes.get(f, v if _rank(stage, f) > 0 else None) for f, v in values.items()}
        unknowns = other.unknowns(known)
        if not unknowns and other.sides(known)[0] != other.sides(known)[1]:
            return True
        if len(unknowns) == 1 and _whole(other, unknowns[0], known) is None:
            return True
    return False


def _pairs(stage: StageSubject, equation: Equation, values: Factors, fields: list[str]) -> list[Help]:
    """No single field helps: move one to its nearest value that lets another one be whole."""
    found: list[Help] = []
    for free in fields:
        for moved in fields:
            near = None if moved == free else _nearest(stage, equation, values, free=free, moved=moved)
            if near is None:
                continue
            value, solution = near
            first, second = stage.fix(moved, value), stage.fix(free, solution)
            found.append(Help(f"{first.text} and {stage.shown(free)} = {solution}", first.sets + second.sets))
            break
    return found


def _nearest(
    stage: StageSubject, equation: Equation, values: Factors, *, free: str, moved: str
) -> tuple[int, int] | None:
    start = values[moved]
    if start is None:
        return None
    for distance in range(1, _REACH):
        for value in (start - distance, start + distance):
            if value < 1:
                continue
            solution = _whole(equation, free, {**values, moved: value})
            if solution is not None and not _breaks_another(stage, equation, {moved: value, free: solution}):
                return value, solution
    return None
