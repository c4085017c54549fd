"""One chunk, run: what it asserts, and where it fails.

The asserting functions of both suites are given, under the names `assert_eq` and `assert.eq`; one that does not hold is
noted and the program goes on.  A failure that nothing expects ends the program: it is noted, the statement of the file
in which it arose is taken out, and the rest is run again, so that one fault hides no other.  That what it would have
defined is then missing is no fault of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from checks.conformance.chunks import Chunk, fits
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark.arguments import signature
from compiler.frontend.starlark.bindings import bound
from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.builtins import universe
from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.evaluate import Module, run_file
from compiler.frontend.starlark.formatting import shown
from compiler.frontend.starlark.freezing import freeze
from compiler.frontend.starlark.nodes import Node
from compiler.frontend.starlark.operators import contains, equal, ordered, truth
from compiler.frontend.starlark.resolve import resolve
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.starlark.thread import Thread
from compiler.frontend.starlark.values import Builtin

# How much of a program is carried out: a suite of errors of the parser knows nothing of names.
PHASES = ("run", "resolve", "parse")

_ASSERT = re.compile(r"\bassert\.(?=\w+\()")
_BEGINS = re.compile(r"[^\s)\]}#]")
_ASSERT_FILE = "assert.star"
_UNDEFINED = "RLC0131"
# The names that the suite of the resolver takes to be known.
_KNOWN_TO_THE_RESOLVER = ("M", "U")


class Failure(NamedTuple):
    """What is not as the suite has it: on which line, what it wanted, and what there was."""

    line: int
    wanted: str
    got: str


class Outcome(NamedTuple):
    """What came of a chunk; `reworded` are the failures that came as they should, with another message."""

    failures: tuple[Failure, ...]
    reworded: tuple[Failure, ...]


def run_chunk(chunk: Chunk, name: str, phase: str = "run") -> Outcome:
    """Run a chunk, and return what is not as it should be."""
    if phase != "run":
        return _judged(chunk, _static_faults(chunk, name, phase))
    text = _ASSERT.sub("assert_", chunk.text)
    failures: dict[int, Failure] = {}
    reworded: dict[int, Failure] = {}
    gone: set[str] = set()
    while True:
        source = SourceFile(name, text)
        error = _run(source, failures, reworded)
        if error is None:
            return _silent(chunk, failures, reworded)
        lines = _lines(error)
        words = [*(words for at, words in chunk.expected.items() if at in lines), *chunk.anywhere]
        if words:
            if not any(fits(each, error.message) for each in words):
                reworded[lines[0]] = Failure(lines[0], words[0], error.message)
            return _outcome(failures, reworded)
        at = lines[0] if lines else chunk.first_line
        if error.code != _UNDEFINED or error.labels[0].span.text not in gone:
            failures[at] = Failure(at, "no failure", error.message)
        rest = _without_statement(source, at, gone)
        if rest is None:
            return _outcome(failures, reworded)
        text = rest


def _outcome(failures: dict[int, Failure], reworded: dict[int, Failure]) -> Outcome:
    return Outcome(*(tuple(found[at] for at in sorted(found)) for found in (failures, reworded)))


def _silent(chunk: Chunk, failures: dict[int, Failure], reworded: dict[int, Failure]) -> Outcome:
    """The outcome of a program that came to its end."""
    for at, words in chunk.expected.items():
        failures.setdefault(at, Failure(at, f"a failure: {words}", "none"))
    if chunk.anywhere:
        failures[chunk.first_line] = Failure(chunk.first_line, f"a failure: {chunk.anywhere[0]}", "none")
    return _outcome(failures, reworded)


def _judged(chunk: Chunk, faults: list[Diagnostic]) -> Outcome:
    """The outcome of a program that was only read: each expected line has a fault, and no other has one."""
    failures: dict[int, Failure] = {}
    found: dict[int, str] = {}
    for fault in faults:
        for line in _lines(fault)[:1]:
            found.setdefault(line, fault.message)
    reworded: dict[int, Failure] = {}
    for at, words in chunk.expected.items():
        if at not in found:
            failures[at] = Failure(at, f"a failure: {words}", "none")
        elif not fits(words, found[at]):
            reworded[at] = Failure(at, words, found[at])
    if chunk.anywhere and not found:
        failures[chunk.first_line] = Failure(chunk.first_line, f"a failure: {chunk.anywhere[0]}", "none")
    for at, message in found.items():
        if at not in chunk.expected and not chunk.anywhere:
            failures[at] = Failure(at, "no failure", message)
    return _outcome(failures, reworded)


def _static_faults(chunk: Chunk, name: str, phase: str) -> list[Diagnostic]:
    source = SourceFile(name, chunk.text)
    try:
        tree = parse_file(source, None)
        if phase == "resolve":
            resolve(source, tree, [*universe(), *_KNOWN_TO_THE_RESOLVER], None)
    except SpecError as error:
        return list(error.diagnostics)
    return []


def _run(source: SourceFile, failures: dict[int, Failure], reworded: dict[int, Failure]) -> Diagnostic | None:
    """Run a program; note the assertions that do not hold, and return what it failed of."""
    given = _assertions(failures, reworded)
    thread = Thread(Budget())
    module = Module({"assert": None, "freeze": given["freeze"]})

    def load(label: str, at: Span) -> Module:
        if label != _ASSERT_FILE:
            raise SpecError(Diagnostic("RLC0151", f"there is no file {label}"))
        return module

    try:
        run_file(source, parse_file(source, None), universe={**universe(), **given}, load=load, thread=thread)
    except SpecError as error:
        return error.diagnostics[0]
    return None


def _assertions(failures: dict[int, Failure], reworded: dict[int, Failure]) -> dict[str, object]:
    """The functions that a suite expects to be there."""

    def line_of(thread: Thread) -> int:
        assert thread.site is not None, "a built-in that was called"
        return thread.site.span.line

    def note(thread: Thread, wanted: str, got: str) -> None:
        line = line_of(thread)
        failures.setdefault(line, Failure(line, wanted, got))

    def told(name: str, holds: Callable[[object, object, Budget], bool], wanted: str) -> Builtin:
        def call(thread: Thread, args: list[object], kwargs: dict[str, object]) -> None:
            first, second = signature(name, "x", "y").bind(args, kwargs)
            if not holds(first, second, thread.budget):
                note(thread, f"{shown(first)} {wanted} {shown(second)}", "it is not so")

        return Builtin(name, call)

    def is_true(thread: Thread, args: list[object], kwargs: dict[str, object]) -> None:
        condition, _ = signature("assert_", "cond", "msg?").bind(args, kwargs)
        if not truth(condition):
            note(thread, "a true value", shown(condition))

    def fails(thread: Thread, args: list[object], kwargs: dict[str, object]) -> None:
        function, words = signature("assert_fails", "f", "pattern").bind(args, kwargs)
        before = thread.budget.steps, thread.budget.bytes
        try:
            thread.call(function, [], {})
        except (SpecError, StarlarkError) as error:
            thread.budget.steps, thread.budget.bytes = before
            if not fits(str(words), str(error)):
                line = line_of(thread)
                reworded[line] = Failure(line, str(words), str(error))
        else:
            note(thread, f"a failure: {words}", "none")

    def fail(thread: Thread, args: list[object], kwargs: dict[str, object]) -> None:
        note(thread, "not to come here", shown(*signature("assert_fail", "msg").bind(args, kwargs)))

    def frozen(_: Thread, args: list[object], kwargs: dict[str, object]) -> object:
        (value,) = signature("freeze", "x").bind(args, kwargs)
        freeze(value)
        return value

    equals = told("assert_eq", lambda a, b, budget: equal(a, b, budget), "==")
    differs = told("assert_ne", lambda a, b, budget: not equal(a, b, budget), "!=")
    comes_before = told("assert_lt", lambda a, b, budget: ordered(a, b, budget) < 0, "<")
    holds = told("assert_contains", lambda a, b, budget: contains(b, a, budget), "contains")
    given = (equals, differs, comes_before, holds)
    return {
        **{function.name: function for function in given},
        "assert_": Builtin("assert_", is_true),
        "assert_true": Builtin("assert_true", is_true),
        "assert_fails": Builtin("assert_fails", fails),
        "assert_fail": Builtin("assert_fail", fail),
        "freeze": Builtin("freeze", frozen),
    }


def _lines(fault: Diagnostic) -> list[int]:
    """The lines of a fault: its own, then those of the calls that led to it, each from its first to its last."""
    found: list[int] = []
    for file, start, end in [label.span for label in sorted(fault.labels, key=lambda label: not label.is_primary)]:
        found += range(file.position(start)[0], file.position(max(start, end - 1))[0] + 1)
    return found


def _without_statement(source: SourceFile, line: int, gone: set[str]) -> str | None:
    """The text without the statement of the file that holds a line; None where no statement can be told from others.

    What it would have bound is added to `gone`.  In a text that is no program a statement is what is written from one
    line that begins at the margin to the next.
    """
    try:
        statements: tuple[Node, ...] = parse_file(source, None)[3:]
    except SpecError:
        margins = [at for at, text in enumerate(source.text.split("\n"), 1) if _BEGINS.match(text)]
        first = max((at for at in margins if at <= line), default=line)
        return _without_lines(source.text, first, min((at for at in margins if at > line), default=line + 1) - 1)
    for statement in statements:
        first, last = source.position(statement[1])[0], source.position(max(statement[1], statement[2] - 1))[0]
        if first <= line <= last:
            gone.update(name[3] for _, name in bound([statement]))
            return _without_lines(source.text, first, last)
    return None


def _without_lines(text: str, first: int, last: int) -> str | None:
    lines = text.split("\n")
    gone = ["" if first <= number <= last else line for number, line in enumerate(lines, 1)]
    return None if gone == lines else "\n".join(gone)
