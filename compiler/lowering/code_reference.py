"""What a reference to a Python function leads to: a file, or a fault."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import Span
from compiler.frontend.roots import Root


class Fault(NamedTuple):
    """Why a reference leads nowhere, and ways out; `meant` are references that it may have been meant as."""

    message: str
    help: tuple[str, ...] = ()
    place: Label | None = None
    meant: tuple[str, ...] = ()


class Callee(NamedTuple):
    """Who a function stands for, and what its required parameters may be called; no signature allows any."""

    who: str
    signatures: tuple[tuple[str, ...], ...]


REWARD = Callee("a reward", (("sample",), ("group",), ("batch",)))
FILTER = Callee("a filter", (("group",),))
SOURCE = Callee("a source of rows", ((),))
SELECTOR = Callee("a selector", (("waiting", "count"),))
ADVANTAGES = Callee("a function of advantages", (("experience",),))
REDUCER = Callee("a reducer", (("batch",),))
CORRECTION = Callee("a correction", (("gap",),))
ENVIRONMENT = Callee("an environment", (("context",), ("policy",)))
TOOL = Callee("a tool", ())


class Parameter(NamedTuple):
    """What the first parameter of a function is called, and where the function is defined."""

    name: str
    function: Span


class Code(NamedTuple):
    """A Python file, and what messages call it."""

    path: Path
    name: str


class CodeRoots(NamedTuple):
    """Where custom code may stand: the experiment's own root, by the name that messages use, and the further ones."""

    own: Code
    further: tuple[Root, ...] = ()
