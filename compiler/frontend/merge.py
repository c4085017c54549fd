"""One Value out of several: tables merge by key, lists are replaced whole, the higher priority wins.

Nothing is ever last-wins: two sources of equal priority and equal depth that disagree about what neither a stronger
source decides are an error (RLC0210, CFG-04).  What lost stays reachable in `shadowed`, for `rlc explain`.

A `--set` table laid over a list addresses its elements, by index (`stages[0]`) or by their `name` (`stages.sft`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.diagnostics.annotations import Final
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.value import OVERRIDE, Entry, Leaf, List, Node, Table, join_path, same_value
from compiler.ir.subject import toml_literal

ADDED_UP: Final = frozenset(("use", "require"))

_STAGES = "stages"


def merge(layers: Sequence[Table], reporter: Reporter, *, at: str = "") -> Table:
    """Return the merged table of at least one root table, each of one source, in any order of priority.

    Args:
        at: the path of the tables, where they are those of a stage.

    `use` and `require` at the root are left out: they add up, and say nothing about fields.  Reports RLC0210 (equally
    strong sources disagree) and RLC0112 (`--set` addresses an element that is not there).
    """
    ordered = sorted(layers, key=_strength, reverse=True)
    return _Merger(reporter).tables(ordered, at, skipping=ADDED_UP)


class _Merger:
    __slots__ = ("reporter",)

    def __init__(self, reporter: Reporter) -> None:
        self.reporter = reporter

    def tables(self, ordered: Sequence[Table], path: str, *, skipping: frozenset[str] = frozenset()) -> Table:
        """Merge by key; the tables come strongest first."""
        first = ordered[0]
        if len(ordered) == 1 and not first.priority.addresses_elements and skipping.isdisjoint(first.entries):
            return first
        spans: dict[str, Entry] = {}
        found: dict[str, list[Node]] = {}
        for table in ordered:
            for key, entry in table.entries.items():
                if key not in skipping:
                    spans.setdefault(key, entry)
                    found.setdefault(key, []).append(entry.node)
        entries: dict[str, Entry] = {}
        for key, nodes in found.items():
            if _index(key) is not None and nodes[0].priority.addresses_elements:
                self.not_a_list(path, spans[key])
                continue
            if join_path(path, key) == _STAGES and all(
                n.priority.addresses_elements and isinstance(n, Table) for n in nodes
            ):
                self.no_stages(nodes)
                continue
            entries[key] = Entry(spans[key].key_span, self.nodes(nodes, join_path(path, key)))
        return Table(entries, first.span, first.priority, first.shadowed, first.calls)

    def nodes(self, ordered: Sequence[Node], path: str) -> Node:
        """Decide between nodes of different sources, strongest first."""
        first = ordered[0]
        if len(ordered) == 1 and (not first.priority.addresses_elements or isinstance(first, Leaf)):
            return first
        if isinstance(first, Table):
            return self.over_others(first, ordered, path)
        equals = [node for node in ordered[1:] if _strength(node) == _strength(first)]
        self.check_agreement(first, equals, path)
        return first._replace(shadowed=(*first.shadowed, *ordered[1:]))

    def over_others(self, first: Table, ordered: Sequence[Node], path: str) -> Node:
        """A table wins: the tables above the first other node merge; what is below is shadowed, or patched."""
        cut = next((i for i, node in enumerate(ordered) if not isinstance(node, Table)), len(ordered))
        tables = [node for node in ordered[:cut] if isinstance(node, Table)]
        below = ordered[cut:]
        if below and _strength(below[0]) == _strength(tables[-1]):
            self.check_agreement(tables[-1], [n for n in below if _strength(n) == _strength(tables[-1])], path)
        elif below and isinstance(below[0], List) and tables[-1].priority.addresses_elements:
            winner = self.nodes(below, path)
            return self.patched(winner, tables, path) if isinstance(winner, List) else winner
        merged = self.tables(tables, path)
        return merged._replace(shadowed=(*merged.shadowed, *below)) if below else merged

    def patched(self, under: List, patches: Sequence[Table], path: str) -> List:
        """Lay tables of the command line over the elements of a list."""
        chosen: dict[int, list[Node]] = {}
        for patch in patches:
            for key, entry in patch.entries.items():
                at = _element(under, key)
                if at is None:
                    self.no_such_element(under, path, key=key, entry=entry)
                else:
                    chosen.setdefault(at, []).append(entry.node)
        items = list(under.items)
        for at, nodes in chosen.items():
            items[at] = self.nodes([*nodes, items[at]], f"{path}[{at}]")
        return under._replace(items=tuple(items))

    def check_agreement(self, first: Node, equals: Iterable[Node], path: str) -> None:
        for other in equals:
            if not same_value(first, other):
                self.reporter.add(_disagreement(first, other, path))

    def not_a_list(self, path: str, entry: Entry) -> None:
        label = Label(entry.key_span, "addresses an element", is_primary=True)
        way = Help(f"leave {entry.key_span.text} out")
        message = f"{path or 'the root'} is not a list here"
        self.reporter.add(Diagnostic("RLC0112", message, (label,), (way,), paths=(path,) if path else ()))

    def no_stages(self, patches: Sequence[Node]) -> None:
        """Report what `--set` says of a stage where no file lists any."""
        for patch in patches:
            for key, entry in patch.entries.items() if isinstance(patch, Table) else ():
                address = join_path(_STAGES, key)
                label = Label(entry.key_span, "names none", is_primary=True)
                way = Help(f"a spec without [[stages]] has one stage: leave {address} out")
                self.reporter.add(
                    Diagnostic("RLC0112", "there is no list of stages here", (label,), (way,), paths=(address,))
                )

    def no_such_element(self, under: List, path: str, *, key: str, entry: Entry) -> None:
        count = len(under.items)
        labels = (
            Label(under.span, f"{count} element{'' if count == 1 else 's'}"),
            Label(entry.key_span, "names none of them", is_primary=True),
        )
        address = join_path(path, key)
        names = [name for item in under.items if (name := _name_of(item))]
        if _index(key) is None:
            near = nearest_names(key, names) or names[:3]
            advice = tuple(Help(f"write {join_path(path, name)}") for name in near)
        else:
            advice = (Help(f"elements count from 0: the last is {path}[{count - 1}]"),) if count else ()
        self.reporter.add(Diagnostic("RLC0112", f"there is no {address}", labels, advice, paths=(address,)))


def _disagreement(first: Node, other: Node, path: str) -> Diagnostic:
    literals = [literal for node in (first, other) if (literal := _literal(node))]
    says = [f"says {_literal(node) or 'this'}" for node in (first, other)]
    labels = (
        Label(first.span, f"one {first.priority.label} {says[0]}", is_primary=True),
        Label(other.span, f"another {other.priority.label}, just as strong, {says[1]}"),
    )
    if first.priority == OVERRIDE:
        advice = (Help(f"give --set {path} once"),)
    elif len(literals) < len(says):
        advice = (Help(f"decide in the experiment: write {path} there"),)
    else:
        ways = (Help(f"set {path} = {literal}", ((path, literal),)) for literal in literals)
        advice = tuple(
            w._replace(text=f"{'or' if i else 'decide in the experiment:'} {w.text}") for i, w in enumerate(ways)
        )
    message = f"{path} is set to two values of equal priority"
    return Diagnostic("RLC0210", message, labels, advice, rule="CFG-04", paths=(path,))


def _literal(node: Node) -> str:
    """A single value as TOML writes it; in a .star file its text may be any expression."""
    if not isinstance(node, Leaf):
        return ""
    return toml_literal(node.value) if node.source.name.endswith(".star") else node.span.text


def _strength(node: Node) -> tuple[int, int]:
    return node.priority.strength


def _index(key: str) -> int | None:
    inside = key[1:-1]
    is_index = key.startswith("[") and key.endswith("]") and inside.isascii() and inside.isdigit()
    return int(inside) if is_index else None


def _element(under: List, key: str) -> int | None:
    index = _index(key)
    if index is not None:
        return index if index < len(under.items) else None
    return next((i for i, item in enumerate(under.items) if _name_of(item) == key), None)


def _name_of(item: Node) -> str | None:
    name = item.get("name") if isinstance(item, Table) else None
    return name.value if isinstance(name, Leaf) and isinstance(name.value, str) else None
