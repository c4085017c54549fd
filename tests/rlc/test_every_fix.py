"""Every way out of every bad spec that a tool can apply, applied to its text as `rlc check --fix` and an editor do."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.fixes.edits import is_applicable
from compiler.ir.catalogue import Catalogue
from rlc.catalogue import scan
from rlc.editor.compiling import analysed, edits_of
from tests.compiler.bad_specs import CASES, Case, diagnostics_of, read_cases, rendered, working_in


@cache
def catalogue() -> Catalogue:
    return scan()


def _ways() -> Iterator[object]:
    for case in read_cases():
        for nth, found in enumerate(diagnostics_of(case)):
            for at, way in enumerate(found.help):
                # What --set says stands in no text; those ways are tried by test_diagnostics.py.
                if is_applicable(way) and not case.overrides:
                    yield pytest.param(case, nth, at, id=f"{case.name}-{nth}-{at}")


@pytest.mark.parametrize(("case", "nth", "at"), list(_ways()))
def test_a_way_out_mends_the_text_that_it_is_about(case: Case, nth: int, at: int) -> None:
    path = case.spec
    with working_in(CASES):
        before = analysed(path, {path: path.read_text()}, catalogue())
        found, way = _same(before.diagnostics, diagnostics_of(case)[nth], at)
        text = before.source.text
        edits = edits_of(way, found, before)
        if not edits:  # only a table with its header is left to a person
            assert way.removes
            assert all(label.span.text.isidentifier() for label in found.labels if label.is_primary)
            return
        for span, new in sorted(edits, key=lambda edit: -edit[0].start):
            text = text[: span.start] + new + text[span.end :]
        after = analysed(path, {path: text}, catalogue())
    assert (found.code, found.paths, found.message) not in {(d.code, d.paths, d.message) for d in after.diagnostics}
    known = {(d.code, d.paths) for d in before.diagnostics}
    new_errors = [d for d in after.diagnostics if d.severity == "error" and (d.code, d.paths) not in known]
    assert not new_errors or _could_not_be_read(found), rendered(new_errors)


def _same(diagnostics: tuple[Diagnostic, ...], wanted: Diagnostic, at: int) -> tuple[Diagnostic, Help]:
    """The diagnostic of an analysis that is the one of a case."""
    found = next(d for d in diagnostics if (d.code, d.message, d.paths) == (wanted.code, wanted.message, wanted.paths))
    return found, found.help[at]


def _could_not_be_read(found: Diagnostic) -> bool:
    """A text that is no TOML and no Starlark, or names a file that is none, hides what else is wrong with it."""
    return found.code < "RLC0200"
