"""Programs of a line or two, run: what the tests of values, operators and built-ins share."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.builtins import universe
from compiler.frontend.starlark.evaluate import Module, run_file
from compiler.frontend.starlark.formatting import to_repr
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.starlark.thread import Thread


def run(program: str, *, modules: dict[str, Module] | None = None) -> Module:
    """Run a file; `modules` are what it may load."""
    source = SourceFile("test.star", program)
    tree = parse_file(source, None)
    return run_file(
        source,
        tree,
        universe=universe(),
        load=lambda label, _: (modules or {})[label],
        thread=Thread(Budget()),
    )


def value(expression: str, before: str = "") -> str:
    """Return what an expression gives, as code would write it, after the statements before it."""
    return to_repr(run(f"{before}\nresult = {expression}\n").globals["result"], Budget())


def failure(program: str) -> Diagnostic:
    """Return the diagnostic that a program ends in."""
    try:
        run(program)
    except SpecError as error:
        return error.diagnostics[0]
    raise AssertionError(f"this should fail: {program}")


def message(program: str) -> str:
    """Return the words that a program fails with."""
    found = failure(program)
    assert found.code == "RLC0150", found
    return found.message
