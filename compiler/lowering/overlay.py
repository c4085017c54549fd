"""A stage's tables over the shared ones: the same paths, overridden."""

from __future__ import annotations

from compiler.frontend.value import Entry, Node, Table


def overlaid(shared: Table, own: Table, lost: list[tuple[Entry, Entry]]) -> Table:
    """Return the tables of a stage; pairs of (loser, winner) are added to `lost`.

    The higher priority wins, so `--set optim.lr=...` reaches every stage; at equal priority the stage's own value
    does.  What lost stays in `shadowed`.
    """
    entries = dict(shared.entries)
    for key, entry in own.entries.items():
        under = entries.get(key)
        entries[key] = entry if under is None else _decided(under, entry, lost)
    return Table(entries, own.span, own.priority, own.shadowed, own.calls)


def _decided(under: Entry, over: Entry, lost: list[tuple[Entry, Entry]]) -> Entry:
    if isinstance(under.node, Table) and isinstance(over.node, Table):
        return Entry(over.key_span, overlaid(under.node, over.node, lost))
    stage_wins = over.node.priority.level >= under.node.priority.level
    winner, loser = (over, under) if stage_wins else (under, over)
    lost.append((loser, winner))
    return Entry(winner.key_span, _with_shadow(winner.node, loser.node))


def _with_shadow(winner: Node, loser: Node) -> Node:
    shadowed = sorted((*winner.shadowed, loser), key=lambda node: node.priority.strength, reverse=True)
    return winner._replace(shadowed=tuple(shadowed))
