"""How long a row may be, and what happens to one that is longer."""

from __future__ import annotations

from typing import Literal, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help
from runtime.data.jsonl import Place, RowFaults, num_rows_phrase

OverlongPolicy = Literal["error", "drop", "truncate"]


class Limit(NamedTuple):
    """How long a row may be, what happens to a longer one, and the field that says it."""

    tokens: int
    policy: OverlongPolicy
    field: str


class LengthLimit:
    """Keeps rows within a number of tokens, and says what happened to the others."""

    def __init__(self, limit: Limit) -> None:
        self._max_tokens, self._policy, self._path = limit
        self._first: tuple[Place, int] | None = None
        self._longest = 0
        self.num_over = 0

    def fitted(self, place: Place, tokens: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the tokens of a row, the last ones where it is cut, or None where it is left out.

        A row that is too long is counted.
        """
        if len(tokens) <= self._max_tokens:
            return tokens
        self._first = self._first or (place, len(tokens))
        self._longest = max(self._longest, len(tokens))
        self.num_over += 1
        return tokens[-self._max_tokens :] if self._policy == "truncate" else None

    def report(self, faults: RowFaults, *, num_rows: int) -> None:
        """Add RLC0605 if rows are too long and may not be dropped, RLC0609 if dropping left none."""
        if self._first is None:
            return
        place, num_tokens = self._first
        fact = f"{num_tokens:,} tokens, but {self._path.rpartition('.')[2]} = {self._max_tokens:,}"
        others = f"{num_rows_phrase(self.num_over)} of {num_rows:,} too long, the longest {self._longest:,} tokens"
        raise_limit = Help(f"set {self._path} = {self._longest}")
        if self._policy == "error":
            drop = Help('or set rollout.overlong_prompts = "drop"', (("rollout.overlong_prompts", '"drop"'),))
            if not self._path.startswith("rollout."):
                drop = Help("or shorten the rows")
            message, code, ways = f"{place} has {fact}: {others}", "RLC0605", (raise_limit, drop)
        elif self._policy == "drop" and self.num_over == num_rows:
            message, code, ways = (
                f"every row is too long and was dropped: {place} has {fact}",
                "RLC0609",
                (raise_limit,),
            )
        else:
            return
        paths = (self._path, "rollout.overlong_prompts")
        told = Diagnostic(code=code, message=message, help=ways, paths=paths)
        faults.add_of_all(place, told, note=f"{num_tokens:,} tokens")
