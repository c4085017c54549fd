"""What must hold of every compilation, whatever was written: plans or coded diagnostics, and the same a second time.

Every function here raises AssertionError where something does not hold; any other exception is a fault as well.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from compiler.compile import Compiled, compile_all
from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.github import render_github
from compiler.diagnostics.json_ import render_json
from compiler.diagnostics.sarif import render_sarif
from compiler.diagnostics.text import render
from compiler.emit.plan_page import plan_page
from compiler.explain import Explainer, all_pages, to_json
from compiler.ir.catalogue import Catalogue
from compiler.ir.plan import Plan, read_plan
from rlc.cli.explain_text import fields_text, table_text

# A report that nobody can read is no report.
MOST_DIAGNOSTICS = 2_000
LARGEST_REPORT = 4 << 20
NUM_EXPLAINED = 3

_INTERNAL = "RLC0070"
_CODE = re.compile(r"RLC\d{4}")


def sound(path: Path, catalogue: Catalogue, overrides: Sequence[str] = (), *, shrink: bool = False) -> list[Compiled]:
    """Compile a spec, hold what must hold of it, and return the experiments that it makes.

    One input of four is compiled a second time, which must say the same, and has its fields explained.
    """
    first = list(compile_all(path, catalogue, overrides=overrides, shrink=shrink))
    for _, compiled in first:
        can_be_shown(compiled.diagnostics)
        has_errors = any(found.severity == "error" for found in compiled.diagnostics)
        assert has_errors == (compiled.plan is None), "a plan in spite of errors, or neither"
        if compiled.plan is not None:
            plan_can_be_read(compiled, catalogue)
    if _is_one_of_four(path, overrides):
        second = list(compile_all(path, catalogue, overrides=overrides, shrink=shrink))
        assert [name for name, _ in first] == [name for name, _ in second], "other experiments the second time"
        for (_, once), (_, again) in zip(first, second, strict=True):
            assert render_json(once.diagnostics) == render_json(again.diagnostics), "other diagnostics the second time"
            assert once.plan == again.plan, "another plan the second time"
            fields_can_be_explained(once)
    return [compiled for _, compiled in first]


def can_be_shown(found: Sequence[Diagnostic]) -> None:
    """Hold that diagnostics have codes with pages, places in their texts, and a form in every format."""
    assert len(found) <= MOST_DIAGNOSTICS, "more diagnostics than anybody can read"
    for one in found:
        assert _CODE.fullmatch(one.code), f"no code: {one.code}"
        assert one.code != _INTERNAL, "a fault of ours"
        assert one.code in _codes_with_pages(), f"{one.code} has no page"
        assert one.message, "a diagnostic that says nothing"
        for label in one.labels:
            assert 0 <= label.span.start <= label.span.end <= len(label.span.file.text), "a span outside its text"
        for color in (False, True):
            for ascii_only in (False, True):
                shown = render(one, color=color, ascii_only=ascii_only)
                assert one.code in shown, "a code that is not shown"
                assert not ascii_only or shown.isascii(), "not ASCII"
                _holds_no_commands(shown, color=color)
    in_json = render_json(found)
    assert [row["code"] for row in json.loads(in_json)] == [one.code for one in found]
    assert len(in_json) <= LARGEST_REPORT, "a report that is larger than anybody can read"
    results = json.loads(render_sarif(found, all_pages()))["runs"][0]["results"]
    assert [row["ruleId"] for row in results] == [one.code for one in found]
    annotations = render_github(found)
    assert "\r" not in annotations, "a line break"
    assert len(annotations.split("\n")) == max(1, len(found)), "an annotation of several lines"


def plan_can_be_read(compiled: Compiled, catalogue: Catalogue) -> None:
    """Hold that a plan is the same after it was saved, and has a page."""
    plan = compiled.plan
    assert plan is not None
    text = plan.to_text()
    again: Plan = read_plan(text, name="plan.json", params_of=catalogue.params_of)
    assert again == plan, "another plan after it was saved"
    assert again.to_text() == text, "a plan that is written otherwise the second time"
    for ascii_only in (False, True):
        page = plan_page(
            plan, compiled.subject, catalogue.load_hardware(), source="spec", ascii_only=ascii_only, color=False
        )
        assert not ascii_only or page.isascii(), "not ASCII"
        _holds_no_commands(page, color=False)


def fields_can_be_explained(compiled: Compiled) -> None:
    """Hold that the fields of an experiment, a few at a time, can be explained as text and as JSON."""
    if compiled.subject is None:
        return
    explainer = Explainer(compiled.subject, broken=compiled.broken)
    table_text(explainer, explainer.paths, ascii_only=True)
    stride = max(1, len(explainer.paths) // NUM_EXPLAINED)
    for path in explainer.paths[::stride]:
        text = fields_text(explainer, (path,), ascii_only=True)
        assert text.isascii(), "not ASCII"
        json.dumps(to_json(explainer, (path,)))


def _is_one_of_four(path: Path, overrides: Sequence[str]) -> bool:
    """Whether an input is one of those that are looked at closely: the same input always is, or never."""
    data = path.read_bytes() if path.is_file() else b""
    return zlib.crc32("".join(overrides).encode("utf-8", "surrogatepass"), zlib.crc32(data)) % 4 == 0


def _holds_no_commands(text: str, *, color: bool) -> None:
    """What a spec says never reaches a terminal as a command."""
    rest = re.sub(r"\x1b\[[0-9;]*m", "", text) if color else text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", rest), "control characters"


@cache
def _codes_with_pages() -> frozenset[str]:
    return frozenset(page.code for page in all_pages())
