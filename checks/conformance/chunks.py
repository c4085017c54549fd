"""The chunks of a file of a conformance suite, and the failures that it expects.

A line `---` ends a chunk, which is a program of its own.  `### words` expects the program to fail there, with a message
that fits the words; a marker that stands alone on its line expects a failure anywhere in the chunk, and may be meant
for one implementation (`### rust: words`), in which case any of them will do.  `# option:name` asks for a dialect.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import NamedTuple

_MARKER = re.compile(r"(?<!#)###(?!#) *(?:(?:go|java|rust):)? *(.+)")
_OPTION = re.compile(r"\boption:(\w+)")
_FINGERPRINT_DIGITS = 10


class Chunk(NamedTuple):
    """One program of a file, laid out with empty lines before it, so that its lines have the numbers of the file.

    `expected` maps the lines that are to fail to the words of the failure; `anywhere` are words of a failure that may
    stand on any line.
    """

    first_line: int
    text: str
    expected: dict[int, str]
    anywhere: tuple[str, ...]
    options: frozenset[str]

    @property
    def fingerprint(self) -> str:
        """What tells this chunk from others, wherever it stands."""
        return fingerprint(self.text)

    def line(self, number: int) -> str:
        """Return the text of a line of the file."""
        return self.text.split("\n")[number - 1]


def fingerprint(text: str) -> str:
    """Return a name for a text that does not depend on the space around it."""
    return sha256(text.strip().encode()).hexdigest()[:_FINGERPRINT_DIGITS]


def read_chunks(text: str) -> list[Chunk]:
    """Return the programs of a file."""
    chunks: list[Chunk] = []
    lines: list[str] = []
    first = 1
    for number, line in enumerate([*text.split("\n"), "---"], 1):
        if line.strip() == "---":
            chunks.append(_chunk(first, lines))
            lines.clear()
            first = number + 1
        else:
            lines.append(line)
    return chunks


def _chunk(first: int, lines: list[str]) -> Chunk:
    expected: dict[int, str] = {}
    anywhere: list[str] = []
    options: set[str] = set()
    for number, line in enumerate(lines, first):
        found = _MARKER.search(line)
        if found is not None:
            if line[: found.start()].strip("# "):
                expected[number] = _words(found.group(1).strip())
            else:
                anywhere.append(_words(found.group(1).strip()))
        if line.lstrip().startswith("#"):
            options.update(_OPTION.findall(line))
    return Chunk(first, "\n" * (first - 1) + "\n".join(lines), expected, tuple(anywhere), frozenset(options))


def _words(written: str) -> str:
    """The expression that a marker means, which one of the suites writes as a string of Go."""
    for quote in ('"', "`"):
        if len(written) > 1 and written[0] == written[-1] == quote:
            inner = written[1:-1]
            return inner.replace('\\"', '"').replace("\\\\", "\\") if quote == '"' else inner
    return written


def fits(words: str, message: str) -> bool:
    """Whether a message says what a marker expects: the words themselves, or what they match as an expression."""
    if words.lower() in message.lower():
        return True
    try:
        return re.search(words, message, re.IGNORECASE) is not None
    except re.error:
        return False
