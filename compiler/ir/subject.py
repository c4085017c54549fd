"""What a rule looks at: the resolved experiment, the origin of each value, and keys that nothing reads."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.annotations import Literal
from compiler.diagnostics.diagnostic import Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import Span
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.json_text import json_string
from compiler.ir.openness import Auto
from compiler.ir.provenance import OriginKind, Provenance


class UnreadKey(NamedTuple):
    """A key of a spec that no component of this experiment reads.

    `why` is `unknown` (no schema has it), `derived` (the compiler computes it), `inert` (something else would read
    it) or `misplaced` (a stage, or a recipe that it uses, says what holds for the whole run); `readers` then says what
    would read it.
    """

    path: str
    key: Span
    why: Literal["unknown", "derived", "inert", "misplaced"]
    origin: OriginKind
    readers: tuple[str, ...] = ()
    siblings: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()


class WrittenValue(NamedTuple):
    """What the user wrote for a field, as lowered: nothing after that may change it."""

    path: str
    value: object


class StageSubject(NamedTuple):
    """One stage with the path that leads to it."""

    subject: Subject
    index: int
    stage: Stage[Auto]

    def path(self, field: str) -> str:
        """Return the full path of a field of this stage."""
        return f"stages.{self.index}.{field}"

    def shown(self, field: str) -> str:
        """Return the path as a person writes it."""
        return self.subject.shown(self.path(field))

    def labels(self, *said: tuple[str, str]) -> tuple[Label, ...]:
        """Return labels for those fields that are written somewhere; the last of them is the primary one."""
        return self.subject.labels(*((self.path(field), text) for field, text in said))

    def written(self, field: str) -> bool:
        """Whether the user set the field."""
        return self.subject.written(self.path(field))

    def fix(self, field: str, value: object, note: str = "") -> Help:
        """Return the help that sets one field."""
        shown, literal = self.shown(field), toml_literal(value)
        return Help(f"set {shown} = {literal}" + (f"        {note}" if note else ""), ((shown, literal),))


class Subject(NamedTuple):
    """An experiment as the rules see it."""

    experiment: Experiment[Auto]
    origins: Provenance
    catalogue: Catalogue
    unread: tuple[UnreadKey, ...] = ()
    written_values: tuple[WrittenValue, ...] = ()
    has_stage_list: bool = False
    shared: frozenset[str] = frozenset()

    def stages(self) -> Iterator[StageSubject]:
        """Yield every stage with its path."""
        for index, stage in enumerate(self.experiment.stages):
            yield StageSubject(self, index, stage)

    def shown(self, path: str) -> str:
        """Return a path as a person writes it: stages by name, and not at all where the shared tables say it."""
        if path in self.shared or self._is_of_shared_table(path):
            return path.split(".", 2)[2]
        return shown_path(path, tuple(s.name for s in self.experiment.stages), has_stage_list=self.has_stage_list)

    def _is_of_shared_table(self, path: str) -> bool:
        """Whether a table within one of a stage, or a key that it lacks, is where only the shared tables say anything.

        A key that is missing from [rollout.buffer] belongs there, and not into a table of the stage's own.
        """
        parts = path.split(".")
        if parts[0] != "stages" or self.written(path):
            return False
        # A table of a stage is stages.0.TABLE; those within it are what is looked at.
        table = ".".join((*parts[:4], ""))
        inside = [known for known, _ in self.origins.items() if f"{known}." == table or known.startswith(table)]
        written = [known for known in inside if self.written(known)]
        return bool(written) and self.shared.issuperset(written)

    def labels(self, *said: tuple[str, str]) -> tuple[Label, ...]:
        """Return labels for those fields that are written somewhere; the last of them is the primary one."""
        found = [(o.span, text) for path, text in said if (o := self.origins.get(path)) is not None and o.span]
        last = len(found) - 1
        return tuple(Label(span, text, i == last) for i, (span, text) in enumerate(found) if span is not None)

    def written(self, path: str) -> bool:
        """Whether the user set the field."""
        origin = self.origins.get(path)
        return origin is not None and origin.is_written


def shown_path(path: str, names: tuple[str, ...], *, has_stage_list: bool) -> str:
    """Return a path as a person writes it."""
    head, _, rest = path.partition(".")
    index, _, inner = rest.partition(".")
    if head != "stages" or not index.isdigit() or int(index) >= len(names):
        return path
    name = names[int(index)]
    is_bare = name.isascii() and name.replace("-", "_").replace("_", "a").isalnum()
    stage = name if is_bare else toml_literal(name)
    if not inner:
        return f"stages.{stage}"
    return inner if not has_stage_list else f"stages.{stage}.{inner}"


def toml_literal(value: object) -> str:
    """Return a value as it is written in TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON text is a TOML text, but for one control character that JSON leaves as it is.
        return json_string(value).replace("\x7f", "\\u007f")
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(toml_literal(v) for v in value) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    return f'"{value!r}"'
