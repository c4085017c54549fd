"""What was written: a tree whose every piece knows its place in the text and its priority.

A Value has no schema.  Strings such as "auto", "off" or "8Ki" are strings here; `lower` gives them their meaning.
Nodes are cheap to create, since a plan creates one for each key of each file it reads.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import TYPE_CHECKING, Final, TypeAlias
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.ir.provenance import Call

if TYPE_CHECKING:
    from datetime import date, datetime, time

    Scalar: TypeAlias = str | int | float | bool | datetime | date | time


class Priority(NamedTuple):
    """How strongly something is said: one of five named levels and, among recipes, the distance to the experiment.

    `depth` is 1 for a recipe that the experiment uses, 2 for a recipe of that recipe, and so on; 0 elsewhere.
    """

    level: int
    depth: int = 0

    @property
    def strength(self) -> tuple[int, int]:
        """Sort key: the stronger one is greater; equal strength is equal right to decide."""
        return self.level, -self.depth

    @property
    def label(self) -> str:
        """The level in words."""
        return ("schema default", "recipe", "experiment", "--shrink", "--set")[self.level]

    @property
    def addresses_elements(self) -> bool:
        """Whether what is said comes from a command line, which changes elements of lists one by one."""
        return self.level >= SHRUNK.level


DEFAULT: Final = Priority(0)
RECIPE: Final = Priority(1, 1)
SPEC: Final = Priority(2)
SHRUNK: Final = Priority(3)
OVERRIDE: Final = Priority(4)


class Leaf(NamedTuple):
    """A single value.

    `shadowed` holds what lost against it, the strongest first; `calls` are those of a .star file that lead to it.
    """

    value: Scalar
    span: Span
    priority: Priority
    shadowed: tuple[Node, ...] = ()
    calls: tuple[Call, ...] = ()

    @property
    def source(self) -> SourceFile:
        """The text that it stands in."""
        return self.span.file


class List(NamedTuple):
    """An array, or an array of tables.  `shadowed` holds what lost against it, the strongest first."""

    items: tuple[Node, ...]
    span: Span
    priority: Priority
    shadowed: tuple[Node, ...] = ()
    calls: tuple[Call, ...] = ()


class Entry(NamedTuple):
    """One key of a table: where the key stands, and what it holds."""

    key_span: Span
    node: Node


class Table(NamedTuple):
    """Keys in the order in which they were written.

    `span` is the header, the braces of an inline table, or the key that implies the table.  In a merged table it is
    that of the strongest source; `shadowed` holds values, and lists, that a table took the place of.
    """

    entries: dict[str, Entry]
    span: Span
    priority: Priority
    shadowed: tuple[Node, ...] = ()
    calls: tuple[Call, ...] = ()

    def get(self, key: str) -> Node | None:
        """Return what a key holds, or None."""
        entry = self.entries.get(key)
        return None if entry is None else entry.node


class Fragment(Table):
    """A table in the list `use` of a .star file: a partial experiment, with a `use` of its own."""


class Facts(Fragment):
    """A fragment that holds the facts of a model; its `name` is no field, but says of which model."""


Node: TypeAlias = Leaf | List | Table


def node_at(table: Table, *keys: str) -> Node | None:
    """Return what stands at a path of table keys, or None."""
    node: Node | None = table
    for key in keys:
        if not isinstance(node, Table):
            return None
        node = node.get(key)
    return node


def plain(node: Node) -> object:
    """Return the bare values: dicts, lists and scalars, as a TOML reader would give them."""
    if isinstance(node, Leaf):
        return node.value
    if isinstance(node, List):
        return [plain(item) for item in node.items]
    return {key: plain(entry.node) for key, entry in node.entries.items()}


def same_value(a: Node, b: Node) -> bool:
    """Whether two nodes say the same.  1 and 1.0 do, 1 and true do not, and nan is the same as nan."""
    if isinstance(a, Leaf) and isinstance(b, Leaf):
        if isinstance(a.value, bool) != isinstance(b.value, bool):
            return False
        return a.value == b.value or (a.value != a.value and b.value != b.value)
    if isinstance(a, List) and isinstance(b, List):
        return len(a.items) == len(b.items) and all(map(same_value, a.items, b.items))
    if isinstance(a, Table) and isinstance(b, Table):
        return a.entries.keys() == b.entries.keys() and all(
            same_value(entry.node, b.entries[key].node) for key, entry in a.entries.items()
        )
    return False


def join_path(path: str, key: str) -> str:
    """Return the dotted path of a key below a path: `a.b`, `a[0]`, and `a."b c"` where the key needs quotes."""
    if key.startswith("[") and key.endswith("]") and key[1:-1].isdecimal():
        return path + key
    if not (key.isascii() and key.replace("-", "_").replace("_", "a").isalnum()):
        key = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return f"{path}.{key}" if path else key
