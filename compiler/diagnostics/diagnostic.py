"""One fault, warning or note, as a plain record.

Text, JSON and later SARIF are functions of this record (see `text.py` and `json_.py`), so all of them say the same.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import Span

Severity = Literal["error", "warning", "note"]


class Label(NamedTuple):
    """What one piece of the spec contributes to the fault, in the unit of the domain."""

    span: Span
    text: str
    is_primary: bool = False


class Help(NamedTuple):
    """One way out, with what a tool needs to apply it.

    `sets` holds the fields it would write, as (path, TOML literal), `unsets` the paths of those that are written no
    longer.  `renamed` is the name that takes the place of the key under the primary label; `removes` says that this
    key goes, with its value; `replaced` is the text that takes the place of all that this label marks.
    """

    text: str
    sets: tuple[tuple[str, str], ...] = ()
    renamed: str = ""
    removes: bool = False
    unsets: tuple[str, ...] = ()
    replaced: str = ""


class Diagnostic(NamedTuple):
    """A coded statement about an experiment.

    `code` is `RLCnnnn`; `rule` is the id in the rule catalogue where there is one (`BATCH-01`); `paths` are the
    fields concerned, for tools and for dropping statements that only follow from another one; `is_judgement` says
    that an error may be committed on purpose, with a written reason (`allow`), as every warning may.
    """

    code: str
    message: str
    labels: tuple[Label, ...] = ()
    help: tuple[Help, ...] = ()
    rule: str = ""
    severity: Severity = "error"
    paths: tuple[str, ...] = ()
    is_judgement: bool = False


def alternatives(*ways: Help) -> tuple[Help, ...]:
    """Return at most three ways out, the later ones as alternatives to the first."""
    return tuple(way if i == 0 else way._replace(text=f"or {way.text}") for i, way in enumerate(ways[:3]))


class SpecError(Exception):
    """Carries diagnostics out of a phase that cannot go on."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{d.code}: {d.message}" for d in diagnostics))
        self.diagnostics = diagnostics

    def __reduce__(self) -> tuple[type[SpecError], tuple[Diagnostic, ...]]:
        """Cross to another process as what it was made of."""
        return type(self), self.diagnostics


class InternalError(Exception):
    """A fault of rlc itself: exit code 70 and a report, never the user's mistake."""
