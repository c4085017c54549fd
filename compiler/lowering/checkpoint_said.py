"""The words of a config.json: what it says of the language model, wherever in the file that stands."""

from __future__ import annotations

from collections.abc import Mapping

from compiler.diagnostics.named_tuple import NamedTuple


class Fact(NamedTuple):
    """A value, and the key of config.json that it comes from or follows from; None where nothing says it."""

    value: object
    key: str


class Unsupported(NamedTuple):
    """What a config.json asks for that the schema has no words for; `known` is what it can say instead."""

    key: str
    message: str
    known: str


def count(value: object) -> int | None:
    """Return a value that may count something, or None: what is no whole number is said where it is read."""
    return value if type(value) is int and 0 < value < 2**53 else None


class Said:
    """A config.json; of a model that also sees, the part about language over what stands around it."""

    def __init__(self, config: Mapping[str, object]) -> None:
        text = config.get("text_config")
        self._values = {**config, **text} if isinstance(text, dict) else dict(config)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def get(self, key: str, default: object = None) -> object:
        """Return what a key holds; null is None."""
        return self._values.get(key, default)

    def fact(self, key: str, default: object = None) -> Fact:
        """Return what a key holds as a fact; where it holds nothing, the default."""
        value = self._values.get(key)
        return Fact(default if value is None else value, key)

    def table(self, key: str) -> Mapping[str, object] | None:
        """Return what a key holds if it is an object."""
        value = self._values.get(key)
        return value if isinstance(value, dict) else None

    def texts(self, key: str) -> list[object] | None:
        """Return what a key holds if it is a list."""
        value = self._values.get(key)
        return value if isinstance(value, list) else None
