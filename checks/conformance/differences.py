"""Where this interpreter means to differ from a suite: `differences.toml`, read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).with_name("differences.toml")


class Difference(NamedTuple):
    """What is done otherwise here, why, and the lines and chunks of a suite that show it, as `name fingerprint`."""

    what: str
    reason: str
    lines: frozenset[str]
    chunks: frozenset[str]


class Differences(NamedTuple):
    """All of them; `options` are the dialects that are not spoken, with the reason."""

    options: dict[str, str]
    listed: tuple[Difference, ...]

    def of_line(self, key: str) -> Difference | None:
        """Return what makes a line come out differently."""
        return next((each for each in self.listed if key in each.lines), None)

    def of_chunk(self, key: str) -> Difference | None:
        """Return what keeps a chunk from being run at all."""
        return next((each for each in self.listed if key in each.chunks), None)


def read_differences(path: Path = DATA) -> Differences:
    """Return the differences that a file lists.  Raises: KeyError, TOMLDecodeError for one that is not of the form."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    listed = tuple(
        Difference(each["what"], each["reason"], frozenset(each.get("lines", ())), frozenset(each.get("chunks", ())))
        for each in data.get("difference", ())
    )
    return Differences(dict(data.get("options", {})), listed)
