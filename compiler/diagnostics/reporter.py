"""Collects diagnostics, so that a user sees everything at once."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Diagnostic, SpecError


class Reporter:
    """An append-only list of diagnostics in the order in which they were found."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._said: set[Diagnostic] = set()

    def add(self, diagnostic: Diagnostic) -> None:
        """Keep a diagnostic; the same statement about the same place is kept once, whichever stages it concerns."""
        said = diagnostic._replace(paths=())
        if said not in self._said:
            self._said.add(said)
            self.diagnostics.append(diagnostic)

    @property
    def has_errors(self) -> bool:
        """Whether anything found so far forbids a plan."""
        return any(d.severity == "error" for d in self.diagnostics)

    def concerns(self, *paths: str) -> bool:
        """Whether an error was already reported on one of these fields: what follows from it is then not repeated."""
        broken = {p for d in self.diagnostics if d.severity == "error" for p in d.paths}
        return any(p in broken for p in paths)

    def raise_errors(self) -> None:
        """Stop here if there are errors.  Raises: SpecError with all that was collected."""
        if self.has_errors:
            raise SpecError(*self.diagnostics)
