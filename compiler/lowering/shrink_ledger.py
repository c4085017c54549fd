"""What `--shrink` changes about one experiment, as its rules say it."""

from __future__ import annotations

from compiler.ir.openness import AUTO
from compiler.ir.paths import read
from compiler.ir.shrunk import Change
from compiler.ir.subject import Subject


class Ledger:
    """The changes to one experiment.  What `--set` says is left alone, and so is what is small already."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.changes: dict[str, Change] = {}

    def value(self, path: str) -> object:
        """Return what a field will be, or None if there is no such field."""
        if path in self.changes:
            return self.changes[path].after
        try:
            return read(self.subject.experiment, path)
        except KeyError:
            return None

    def number(self, path: str) -> int | None:
        """Return what a whole number will be, or None where there is no such field or no number in it."""
        value = self.value(path)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def is_fixed(self, path: str) -> bool:
        """Whether `--set` says what a field is."""
        origin = self.subject.origins.get(path)
        return origin is not None and origin.kind == "override"

    def put(self, path: str, value: object, why: str) -> None:
        """Change a field that is there, unless it has this value or `--set` decides it."""
        before = self.value(path)
        if before is not None and before != value and not self.is_fixed(path):
            self.changes[path] = Change(path, before, value, why)

    def keep(self, path: str) -> None:
        """Say what a field is already, where whatever said it is going to fall silent."""
        value = self.value(path)
        if value is not None and path not in self.changes and not self.is_fixed(path):
            self.changes[path] = Change(path, value, value, "kept")

    def cap(self, path: str, most: int) -> None:
        """Lower a number to at most so much."""
        before = self.number(path)
        if before is not None and before > most:
            self.put(path, most, f"at most {most}")

    def derive(self, path: str, why: str) -> None:
        """Let the compiler decide again what somebody had written."""
        origin = self.subject.origins.get(path)
        if origin is not None and origin.kind in ("spec", "recipe"):
            self.put(path, AUTO, why)
