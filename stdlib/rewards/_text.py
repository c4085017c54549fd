"""Words, sentences and syllables of a text, told apart by rules."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+(?:['\u2019-]\w+)*")
_END = re.compile(r"(?<=[.!?\u3002\uff01\uff1f])[\"'\u201d\u2019)\]*_]*(?:\s+|$)|\n{2,}")
_ABBREVIATION = re.compile(
    r"\b(?:Mr|Mrs|Ms|Dr|Prof|St|Sr|Jr|Inc|Ltd|Co|Corp|vs|etc|e\.g|i\.e|cf|al|no|Fig|U\.S|[A-Z])\.$", re.IGNORECASE
)
_VOWELS = re.compile(r"[aeiouy]+")


def words_of(text: str) -> list[str]:
    """Return the words of a text, as written; what is joined by an apostrophe or a hyphen is one."""
    return _WORD.findall(text)


def sentences_of(text: str) -> list[str]:
    """Return the sentences of a text: a full stop behind an abbreviation or a single letter ends none."""
    found: list[str] = []
    start = 0
    for end in _END.finditer(text):
        part = text[start : end.start()]
        # "I." and the like end a sentence where they end the text.
        if _is_abbreviated(part) and end.end() < len(text):
            continue
        if part.strip():
            found.append(part.strip())
        start = end.end()
    rest = text[start:].strip()
    return [*found, rest] if rest else found


def count_sentences(text: str) -> int:
    """Return how many sentences a text has."""
    return len(sentences_of(text))


def count_syllables(word: str) -> int:
    """Return the syllables of an English word: groups of vowels, without an e that is not spoken."""
    plain = re.sub(r"[^a-z]", "", word.lower())
    if not plain:
        return 0
    silent = plain.endswith("e") and not plain.endswith(("le", "ee", "ye")) and len(_VOWELS.findall(plain)) > 1
    return max(1, len(_VOWELS.findall(plain)) - silent)


def _is_abbreviated(part: str) -> bool:
    return _ABBREVIATION.search(part) is not None
