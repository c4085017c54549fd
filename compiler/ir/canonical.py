"""The JSON in which a plan is written: sorted keys, one a line, so that two plans differ by lines that mean something.

`OFF` is written as "off".  Reading needs no hints: a union of records is told apart by the keys that are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from compiler.diagnostics.annotations import TypeVar, cast
from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.algorithm import AlgorithmParams
from compiler.ir.json_text import Json, json_text
from compiler.ir.kinds import Atom
from compiler.ir.openness import AUTO, OFF
from compiler.ir.options import Options, given
from compiler.ir.record import Field, Record

R = TypeVar("R", bound=Record)
ParamsOf = Callable[[str], type[AlgorithmParams[object]]]


def dump(data: Json) -> str:
    """Return canonical text: keys sorted, two blanks of indent, one key a line, a line break at the end."""
    return json_text(data) + "\n"


def encode(value: object, *, hashed_only: bool = False) -> Json:
    """Return the JSON of a record or of a field's value.

    Args:
        hashed_only: leave out the fields that the plan hash does not cover.

    Raises: InternalError if anything is still open.
    """
    if isinstance(value, Record):
        out: dict[str, Json] = {}
        for name, field in type(value).fields().items():
            if hashed_only and not field.in_hash:
                continue
            inner = encode(value.__dict__[name], hashed_only=hashed_only)
            if field.spread and isinstance(inner, dict):
                out.update(inner)
            else:
                out[name] = inner
        return out
    if isinstance(value, tuple):
        return [encode(item, hashed_only=hashed_only) for item in value]
    if value is OFF:
        return "off"
    if value is AUTO:
        raise InternalError("a plan cannot hold an open value")
    if isinstance(value, (bool, int, float, str)):
        return value
    raise InternalError(f"a plan cannot hold {value!r}")


def decode(record: type[R], data: Mapping[str, Json], *, params_of: ParamsOf) -> R:
    """Return the record that `encode` wrote.

    Args:
        params_of: the Params record of an algorithm, by name.

    Raises: ValueError naming the field that does not fit.
    """
    values: dict[str, object] = {}
    seen: set[str] = set()
    for name, field in record.fields().items():
        if field.spread:
            algo = data.get("algo")
            if not isinstance(algo, dict):
                raise ValueError("algo is missing")
            params = params_of(str(algo.get("name")))
            inner = {k: data[k] for k in params.fields() if k in data}
            seen.update(inner)
            values[name] = decode(params, inner, params_of=params_of)
        elif name in data:
            seen.add(name)
            values[name] = _decode_value(field, name, data[name], params_of)
        else:
            raise ValueError(f"{name} is missing")
    unknown = sorted(set(data) - seen)
    if unknown:
        raise ValueError(f"unknown field {unknown[0]}")
    return record(**values)


def _decode_value(field: Field, path: str, data: Json, params_of: ParamsOf) -> object:
    if data == "off" and field.kind.may_be_off:
        return OFF
    fault: ValueError | None = None
    for atom in field.kind.values:
        try:
            fits, value = _decode_atom(atom, path, data, params_of)
        except ValueError as inside:  # another record may have the same names, and fit
            fault = fault or inside
            continue
        if fits and _is_within_bounds(field, value):
            return value
    raise fault or ValueError(_misfit(field, path, data))


def _misfit(field: Field, path: str, data: Json) -> str:
    """Return why a value is none that a field takes; of a record, by which names: other versions have others."""
    records = [atom.record for atom in field.kind.values if atom.record is not None and atom.record is not Options]
    if not isinstance(data, dict) or not records:
        return f"{path} cannot be {data!r:.200}"
    wanted = min((set(record.fields()) for record in records), key=lambda names: len(names ^ set(data)))
    lacks, more = sorted(wanted - set(data)), sorted(set(data) - wanted)
    found = [f"{path}.{name} is missing" for name in lacks] + [f"{path}.{name} is unknown" for name in more]
    return ", ".join(found[:4]) or f"{path} cannot be {data!r:.200}"


def _is_within_bounds(field: Field, value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return True
    return all(
        {"ge": value >= bound, "gt": value > bound, "le": value <= bound, "lt": value < bound}[op]
        for op, bound in field.bounds
    )


def _decode_atom(atom: Atom, path: str, data: Json, params_of: ParamsOf) -> tuple[bool, object]:
    if atom.name == "list" and isinstance(data, list) and atom.item is not None:
        items = [_decode_atom(atom.item, f"{path}.{i}", item, params_of) for i, item in enumerate(data)]
        return all(fits for fits, _ in items), tuple(value for _, value in items)
    if atom.record is Options and isinstance(data, dict):
        return True, given({key: tuple(item) if isinstance(item, list) else item for key, item in data.items()})
    if atom.record is not None and isinstance(data, dict):
        names = set(atom.record.fields())
        spreads = any(f.spread for f in atom.record.fields().values())
        if spreads or names == set(data):
            return True, decode(cast("type[Record]", atom.record), data, params_of=params_of)
        return False, None
    if atom.name == "literal":
        return data in atom.choices and not isinstance(data, bool), data
    if atom.name == "bool":
        return isinstance(data, bool), data
    if atom.name in ("int", "Tokens", "Bytes"):
        return isinstance(data, int) and not isinstance(data, bool), data
    if atom.name in ("float", "Seconds"):
        fits = isinstance(data, (int, float)) and not isinstance(data, bool)
        return fits, float(data) if isinstance(data, (int, float)) else None
    return atom.name in ("str", "SpecPath") and isinstance(data, str), data
