"""Where an entry of a dict comes from: the text that wrote it, and the calls under way when it did."""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import Span


class Frame(NamedTuple):
    """A call under way, the innermost of a chain."""

    function_name: str
    call_span: Span
    parent: Frame | None


class Written(NamedTuple):
    """The places of a key and of its value, and the innermost call in which they were written."""

    key: Span
    value: Span
    frame: Frame | None


class Writer:
    """One place of a text that writes entries; those of the same call share one record."""

    __slots__ = ("_key", "_last", "_value")

    def __init__(self, key: Span, value: Span) -> None:
        self._key = key
        self._value = value
        self._last: Written | None = None

    def written(self, frame: Frame | None) -> Written:
        """Return the origin of an entry that is written here, in a call."""
        last = self._last
        if last is None or last[2] is not frame:
            last = self._last = Written._make((self._key, self._value, frame))
        return last
