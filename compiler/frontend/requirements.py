"""What a spec and its recipes require of the resolved experiment, as they wrote it.

TOML says `require = [{ that = "rollout.samples_per_prompt % 2 == 0", why = "pairs need an even group" }]`; Starlark
calls `require(that, why)`.  Requirements add up over all files.  Whether one holds is judged when every field is
resolved, not here.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.value import Leaf, List, Node, Table
from compiler.ir.provenance import Call

KEY = "require"

_FIELDS = ("that", "why")


class Requirement(NamedTuple):
    """A condition and the reason for it.

    `span` is the condition's place, `calls` lead to it; `stage` is the index of the stage whose recipe says it, None
    where it is said of the whole experiment.
    """

    text: str
    why: str
    span: Span
    calls: tuple[Call, ...] = ()
    stage: int | None = None


def read_requirements(
    layers: Sequence[Table], reporter: Reporter, *, stage: int | None = None
) -> tuple[Requirement, ...]:
    """Return what tables require, each thing once; reports RLC0216 for what is no requirement."""
    found: dict[Requirement, None] = {}
    for table in layers:
        node = table.get(KEY)
        if node is None:
            continue
        if not isinstance(node, List):
            _malformed(node, "a list of tables", reporter)
            continue
        for item in node.items:
            requirement = _requirement(item, stage, reporter)
            if requirement is not None:
                found[requirement] = None
    return tuple(found)


def _requirement(item: Node, stage: int | None, reporter: Reporter) -> Requirement | None:
    if not isinstance(item, Table):
        _malformed(item, "a table with `that` and `why`", reporter)
        return None
    for key, entry in item.entries.items():
        if key not in _FIELDS:
            _malformed(entry.node, "`that` and `why`, and nothing else", reporter, at=entry.key_span)
            return None
    texts: list[tuple[str, Leaf]] = []
    for key in _FIELDS:
        node = item.get(key)
        if not isinstance(node, Leaf) or not isinstance(node.value, str) or not node.value.strip():
            _malformed(item if node is None else node, f"`{key}`, a text", reporter)
            return None
        texts.append((node.value, node))
    (text, condition), (why, _) = texts
    return Requirement(text, why, condition.span, condition.calls, stage)


def _malformed(node: Node, expected: str, reporter: Reporter, *, at: Span | None = None) -> None:
    label = Label(at or node.span, f"expected {expected}", is_primary=True)
    way = Help('write require = [{ that = "rollout.samples_per_prompt % 2 == 0", why = "pairs need an even group" }]')
    reporter.add(Diagnostic("RLC0216", "a requirement is a condition and the reason for it", (label,), (way,)))
