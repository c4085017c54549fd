"""A plan together with what is known of where it comes from, for those who compare plans."""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.plan import Plan
from compiler.ir.provenance import Origin
from compiler.ir.shrunk import Shrunk
from compiler.ir.subject import Subject


class SourcedPlan(NamedTuple):
    """A plan, the origins of its values (none where it was saved), and what the user called it.

    `folder` is where its files lie if that is a place of no meaning to the user, such as an unpacked revision;
    `folder_name` is then written instead.  `shrunk` is what --shrink did.
    """

    plan: Plan
    subject: Subject | None
    name: str
    folder: str = ""
    folder_name: str = ""
    shrunk: Shrunk | None = None

    def origin(self, path: str) -> Origin | None:
        """Return the origin of a field, by its internal path."""
        return self.subject.origins.get(path) if self.subject is not None else None

    def renamed(self, text: str) -> str:
        """Return a text of a message or a place in the names that the user knows."""
        return text.replace(f"{self.folder}/", self.folder_name) if self.folder else text
