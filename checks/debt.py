"""Counted debt and its ratchet.

Some marks are each defensible alone and a rot in numbers.  They are counted over the source and the tests, and the
record in debt.toml only ever falls.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from checks.tree import SOURCE, Finding, Module, modules

RECORD = "checks/debt.toml"
MAX_PARAMETERS = 6
COMMENTS = {
    "type_ignores": re.compile(r"(?:type|pyrefly|pyright)\s*:\s*ignore"),
    "noqas": re.compile(r"noqa\b", re.IGNORECASE),
    "todos": re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b"),
}
KINDS = (*COMMENTS, "skipped_tests", "broad_excepts", "environ_reads", "long_signatures")
SKIPS = frozenset({"skip", "skipif", "skipIf", "importorskip", "xfail"})


def check(root: Path) -> Iterator[Finding]:
    """Yield each kind of debt whose count differs from the record, with the places where there is too much of it."""
    recorded = tomllib.loads((root / RECORD).read_text(encoding="utf-8"))
    places = list(marks(root))
    counts = Counter(kind for kind, _ in places)
    for kind in KINDS:
        count, allowed = counts[kind], recorded[kind]
        if count > allowed:
            yield Finding(RECORD, 0, f"{kind} = {allowed}, but there are {count}:")
            yield from (place for marked, place in places if marked == kind)
        elif count < allowed:
            yield Finding(RECORD, 0, f"{kind} = {allowed}, but there are only {count}: lower the record")


def counts(root: Path) -> Counter[str]:
    """Return how often each kind of debt occurs."""
    return Counter(kind for kind, _ in marks(root))


def marks(root: Path) -> Iterator[tuple[str, Finding]]:
    """Yield every mark of debt with its kind."""
    for module in modules(root, *SOURCE, "tests"):
        yield from _comments(module)
        for node in ast.walk(module.tree):
            kind = _kind(node, module)
            if kind is not None:
                line = getattr(node, "lineno", 0)
                yield kind, Finding(module.path, line, module.text.splitlines()[line - 1].strip())


def _comments(module: Module) -> Iterator[tuple[str, Finding]]:
    for token in tokenize.generate_tokens(io.StringIO(module.text).readline):
        if token.type == tokenize.COMMENT:
            for kind, pattern in COMMENTS.items():
                if pattern.search(token.string):
                    yield kind, Finding(module.path, token.start[0], token.string)


def _kind(node: ast.AST, module: Module) -> str | None:
    match node:
        case ast.ExceptHandler(type=ast.expr() as caught) if _is_broad(caught):
            return "broad_excepts"
        case ast.Attribute(value=ast.Name(id="os"), attr="environ" | "getenv" | "environb"):
            return None if module.path.endswith("/environ.py") else "environ_reads"
        case ast.Attribute(attr=attr) if attr in SKIPS and "pytest" in ast.unparse(node):
            return "skipped_tests"
        case ast.FunctionDef(args=args) | ast.AsyncFunctionDef(args=args) if _num_parameters(args) > MAX_PARAMETERS:
            return None if module.path.startswith("rlc/cli/") else "long_signatures"
        case _:
            return None


def _is_broad(caught: ast.expr) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(isinstance(n, ast.Name) and n.id in {"Exception", "BaseException"} for n in names)


def _num_parameters(args: ast.arguments) -> int:
    names = [a.arg for a in (*args.posonlyargs, *args.args, *args.kwonlyargs)]
    return len(names) - (names[:1] in (["self"], ["cls"]))
