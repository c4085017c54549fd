"""Values of Starlark as trees: what they say, where each key and each value is written, and the calls that lead there.

None is not written.  Numbers, texts, lists and dicts are what TOML has too; anything else is no value of a spec.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.call_sites import call_labels
from compiler.frontend.starlark.budget import ENTRY, Budget
from compiler.frontend.starlark.formatting import shown
from compiler.frontend.starlark.origins import Frame
from compiler.frontend.starlark.values import Builtin, StarlarkDict, StarlarkList, type_name
from compiler.frontend.trees import LEAF, LIST, TABLE, Tree, TreeCall, TreeEntry
from compiler.ir.provenance import Call

MAX_DEPTH = 64

_INT64 = 2**63


class Converter:
    """Makes trees of values, at the cost of a budget, since a value may hold another one many times.

    `files` are the texts that places lie in.  `is_bare` says that the outermost call is that of a `use` in TOML or of a
    model's label: the text that it stands in is no part of what the call gives.
    """

    def __init__(self) -> None:
        self.files: list[SourceFile] = []
        self.budget = Budget()
        self.is_bare = False
        self._index: dict[SourceFile, int] = {}
        self._calls: dict[int, tuple[Frame, tuple[TreeCall, ...]]] = {}
        # What most nodes share with the node before them: the text, and the call.
        self._last_file: tuple[SourceFile | None, int] = (None, 0)
        self._last_calls: tuple[Frame | None, tuple[TreeCall, ...]] = (None, ())

    def tree(self, value: object, at: Span, frame: Frame | None, *, depth: int = 0) -> Tree | None:
        """Return the tree of a value, or None for None.  Raises: SpecError RLC0103, RLC0104 or RLC0154."""
        if value is None:
            return None
        kind = type(value)
        if kind is str or kind is bool:
            return self.node(LEAF, value, at, frame)
        if isinstance(value, (StarlarkDict, StarlarkList, tuple)):
            if depth >= MAX_DEPTH:
                raise _too_deep(at, frame)
            if isinstance(value, StarlarkDict):
                entries = self.entries(value, at, frame, depth=depth + 1)
                return self.node(TABLE, tuple(entries), at, frame)
            self.budget.elements(len(items_of(value)), ENTRY)
            items = [self.element(item, at, frame, depth=depth + 1) for item in items_of(value)]
            return self.node(LIST, tuple(items), at, frame)
        if isinstance(value, float) and math.isfinite(value):
            return self.node(LEAF, value, at, frame)
        if isinstance(value, int):
            if not -_INT64 <= value < _INT64:
                raise _too_big(at, frame)
            return self.node(LEAF, value, at, frame)
        raise no_spec_value(value, at, frame)

    def entries(self, value: StarlarkDict, at: Span, frame: Frame | None, *, depth: int = 0) -> list[TreeEntry]:
        """Return the entries of a dict that are written.  Raises: SpecError as `tree` does."""
        self.budget.elements(len(value.entries), ENTRY)
        origins = value.origins or {}
        found: list[TreeEntry] = []
        for key, inner in value.items():
            if type(key) is not str:
                raise _no_key(key, at, frame)
            written = origins.get(key)
            key_at, value_at, by = (at, at, frame) if written is None else written
            entry = self.entry(key, key_at, self.tree(inner, value_at, by, depth=depth))
            if entry is not None:
                found.append(entry)
        return found

    def element(self, value: object, at: Span, frame: Frame | None, *, depth: int) -> Tree:
        """Return the tree of an element of a list, at the place of the list."""
        tree = self.tree(value, at, frame, depth=depth)
        if tree is None:
            raise no_spec_value(value, at, frame)
        return tree

    def entry(self, key: str, at: Span, tree: Tree | None) -> TreeEntry | None:
        """Return an entry, or None where nothing is written; a key lies in the text that its value lies in."""
        if tree is None:
            return None
        source, start, end = at
        if self.files[tree[4]] is not source:
            return key, tree[1], tree[2], tree
        return key, start, end, tree

    def node(self, kind: int, payload: object, at: Span, frame: Frame | None) -> Tree:
        """Return a tree at a place."""
        source, start, end = at
        known, number = self._last_file
        if known is not source:
            number = self.file(source)
            self._last_file = source, number
        caller, calls = self._last_calls
        if caller is not frame:
            calls = self.calls(frame)
            self._last_calls = frame, calls
        return kind, start, end, payload, number, calls

    def file(self, source: SourceFile) -> int:
        """Return the number of a text."""
        number = self._index.get(source)
        if number is None:
            number = self._index[source] = len(self.files)
            self.files.append(source)
        return number

    def calls(self, frame: Frame | None) -> tuple[TreeCall, ...]:
        """Return the calls that are under way in a frame, the outermost first."""
        if frame is None or (self.is_bare and frame.parent is None):
            return ()
        known = self._calls.get(id(frame))
        if known is None:
            name, span, parent = frame
            call = (name, self.file(span.file), span.start, span.end)
            known = self._calls[id(frame)] = frame, (*self.calls(parent), call)
        return known[1]


def items_of(value: object) -> Sequence[object]:
    """Return the elements of a list or a tuple."""
    return value.items if isinstance(value, StarlarkList) else value if isinstance(value, tuple) else ()


def calls_of(frame: Frame | None) -> list[Call]:
    """Return the calls under way in a frame, the outermost first."""
    found: list[Call] = []
    while frame is not None:
        found.append(Call(frame.function_name, frame.call_span))
        frame = frame.parent
    return found[::-1]


def described(value: object) -> str:
    """Return what kind of value it is, in words."""
    kind = "None" if value is None else type_name(value)
    return kind if value is None else f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def fault(
    code: str, message: str, label: tuple[Span, str], frame: Frame | None, helps: Sequence[str] = ()
) -> SpecError:
    """Return an error at a place, with the calls that led to it."""
    labels = (Label(*label, is_primary=True), *(c for c in call_labels(calls_of(frame)) if c.span != label[0]))
    return SpecError(Diagnostic(code, message, labels, tuple(Help(text) for text in helps)))


def no_spec_value(value: object, at: Span, frame: Frame | None) -> SpecError:
    """Return RLC0154 for what no field can hold."""
    kind = type_name(value)
    said, ways = described(value), ()
    if value is None:
        said, ways = "None in a list", ("leave the element out",)
    elif type(value) is float:
        said, ways = shown(value), ("write a finite number",)
    elif kind == "function" or type(value) is Builtin:
        ways = ("call it: write the parentheses",)
    elif kind in ("set", "range"):
        ways = ("make it a list: list(...)",)
    elif kind in ("fragment", "experiment"):
        ways = ("fragments stand in use = [...]",)
    elif kind == "model":
        ways = ("a model is given as model = ... of an experiment or a fragment",)
    return fault("RLC0154", f"a spec cannot hold {said}", (at, f"this is {said}"), frame, ways)


def _no_key(key: object, at: Span, frame: Frame | None) -> SpecError:
    message = f"a key of a table is a text, not {shown(key)}"
    return fault("RLC0154", message, (at, f"has the key {shown(key)}"), frame)


def _too_deep(at: Span, frame: Frame | None) -> SpecError:
    return fault("RLC0103", f"nested more than {MAX_DEPTH} levels deep", (at, f"level {MAX_DEPTH + 1}"), frame)


def _too_big(at: Span, frame: Frame | None) -> SpecError:
    label = (at, "an integer holds from -2^63 to 2^63 - 1")
    ways = ("make it a float, if the field takes one: float(...)",)
    return fault("RLC0104", "the integer does not fit in 64 bits", label, frame, ways)
