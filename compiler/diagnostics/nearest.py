"""The nearest name: what a user most likely meant."""

from __future__ import annotations

from collections.abc import Iterable

_MOST_CANDIDATES = 1_000


def nearest_names(name: str, candidates: Iterable[str], *, most: int = 3) -> list[str]:
    """Return up to `most` candidates within a third of the name's length in edits, nearest first.

    Among more than a thousand candidates none is looked for: that would take longer than all else.
    """
    limit = max(1, (len(name) + 1) // 3)
    known = set(candidates)
    if len(known) > _MOST_CANDIDATES:
        return []
    scored = [(d, c) for c in known if (d := edit_distance(name, c, limit=limit)) <= limit]
    return [c for _, c in sorted(scored)[:most]]


def edit_distance(a: str, b: str, *, limit: int) -> int:
    """Return the number of insertions, deletions, substitutions and swaps; more than `limit` is limit + 1.

    Optimal string alignment distance (a swap is of neighbours); case, '-' and '_' count as equal.
    """
    a, b = a.lower().replace("-", "_"), b.lower().replace("-", "_")
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        new = [i]
        for j, y in enumerate(b, 1):
            cost = min(row[j] + 1, new[j - 1] + 1, row[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, before[j - 2] + 1)
            new.append(cost)
        if min(new) > limit and min(row) > limit:
            return limit + 1  # the rows that follow hold nothing smaller
        before, row = row, new
    return row[-1] if row[-1] <= limit else limit + 1
