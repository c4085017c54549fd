"""References that need each other: the circle, field by field, with every place that closes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.ir.provenance import Provenance

if TYPE_CHECKING:
    from compiler.constraints.resolution import Referred


def circle_faults(
    pending: Mapping[str, Referred],
    origins: Provenance,
    shown: Callable[[str], str],
    *,
    is_certain: bool = False,
) -> list[Diagnostic]:
    """Return RLC0220 for each circle among references that cannot be decided.

    Args:
        is_certain: whether there is one although origins do not tell the way round.
    """
    found: list[Diagnostic] = []
    told: set[str] = set()
    for path in pending:
        if path in told:
            continue
        way = _way_round(path, pending, origins)
        if way is None and is_certain:
            way = [path]
        if way is not None:
            told.update(way)
            found.append(_fault(way, pending, origins, shown))
    return found


def _way_round(start: str, pending: Mapping[str, Referred], origins: Provenance) -> list[str] | None:
    """The shortest way from a field over what it is read from, back to itself."""
    waiting: list[list[str]] = [[start]]
    seen: set[str] = set()
    for way in waiting:  # grows while it is read
        for source in _sources(way[-1], pending, origins):
            if source == start:
                return way
            if source not in seen:
                seen.add(source)
                waiting.append([*way, source])
    return None


def _sources(path: str, pending: Mapping[str, Referred], origins: Provenance) -> Sequence[str]:
    referred = pending.get(path)
    if referred is not None:
        return referred.reads
    origin = origins.get(path)
    return () if origin is None else origin.inputs


def _fault(
    way: list[str], pending: Mapping[str, Referred], origins: Provenance, shown: Callable[[str], str]
) -> Diagnostic:
    labels: list[Label] = []
    names: list[str] = []
    for at, path in enumerate(way):
        source = way[(at + 1) % len(way)]
        referred = pending.get(path)
        if referred is None:
            origin = origins.get(path)
            names.append(f"{shown(path)} (derived)" if origin is not None and origin.by else shown(path))
            if origin is not None and origin.span is not None:
                labels.append(Label(origin.span, f"{shown(path)} needs {shown(source)}"))
            continue
        names.append(shown(path))
        nodes = [use.node for use in referred.uses if use.path == source]
        span = referred.expression.span(nodes[0]) if nodes else referred.reference.span
        labels.append(Label(span, f"{shown(path)} needs {shown(source)}"))
    labels[-1] = labels[-1]._replace(is_primary=True)
    message = "fields are read from each other in a circle: " + " -> ".join([*names, shown(way[0])])
    way_out = Help(f"write a value for {shown(way[0])}")
    return Diagnostic("RLC0220", message, tuple(labels), (way_out,), paths=tuple(way))
