"""Diagnostics as SARIF and as annotations: the same places and words as in the text."""

from __future__ import annotations

import json

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.github import annotation
from compiler.diagnostics.page import Page
from compiler.diagnostics.sarif import render_sarif
from compiler.diagnostics.span import SourceFile, Span

FILE = SourceFile("experiments/a b.toml", 'name = "\N{SNOWMAN}"\nx = 1\n')
FIRST = Label(Span(FILE, 7, 10), "here", is_primary=True)
SECOND = Label(Span(FILE, 11, 12), "and here")
FOUND = Diagnostic("RLC0309", "it is 100% wrong,\nsee: there", (SECOND, FIRST), (Help("set x = 2"),), rule="ALGO-01")
PAGE = Page("RLC0309", "ALGO-01", "kl_has_an_estimator", "A title", "# RLC0309: A title\n")
OTHER = Page("RLC0310", "", "", "Another", "# RLC0310: Another\n")


def test_an_annotation_says_place_code_and_words_escaped_as_github_reads_them() -> None:
    assert annotation(FOUND) == (
        "::error file=experiments/a b.toml,line=1,endLine=1,col=8,endColumn=10,title=RLC0309 (ALGO-01)"
        "::it is 100%25 wrong,%0Asee: there%0Ahere%0Aexperiments/a b.toml:2: and here%0Ahelp: set x = 2"
    )


def test_a_property_of_an_annotation_has_no_comma_and_no_colon() -> None:
    file = SourceFile("a,b:c.toml", "x\n")
    found = Diagnostic("RLC0001", "m", (Label(Span(file, 0, 1), "", is_primary=True),), severity="warning")
    assert annotation(found) == "::warning file=a%2Cb%3Ac.toml,line=1,endLine=1,col=1,endColumn=1,title=RLC0001::m"


def test_an_annotation_over_several_lines_has_no_columns_and_one_without_a_place_no_file() -> None:
    long = Diagnostic("RLC0001", "m", (Label(Span(FILE, 7, 16), "", is_primary=True),), severity="note")
    assert annotation(long) == "::notice file=experiments/a b.toml,line=1,endLine=2,title=RLC0001::m"
    assert annotation(Diagnostic("RLC0001", "m")) == "::error title=RLC0001::m"


def test_sarif_has_what_the_standard_requires_and_the_place_in_code_points() -> None:
    report = json.loads(render_sarif([FOUND, Diagnostic("RLC0001", "no page")], [PAGE, OTHER]))
    assert (report["version"], "sarif-schema-2.1.0" in report["$schema"]) == ("2.1.0", True)
    (run,) = report["runs"]
    driver = run["tool"]["driver"]
    assert (driver["name"], [rule["id"] for rule in driver["rules"]]) == ("rlc", ["RLC0309"])
    assert driver["rules"][0]["help"] == {"text": PAGE.text, "markdown": PAGE.text}
    assert run["columnKind"] == "unicodeCodePoints"
    first, second = run["results"]
    assert driver["rules"][first["ruleIndex"]]["id"] == first["ruleId"] == "RLC0309"
    assert first["level"] == "error"
    assert first["message"]["text"] == "it is 100% wrong,\nsee: there\nhelp: set x = 2"
    place = first["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "experiments/a%20b.toml"
    assert place["region"] == {"startLine": 1, "startColumn": 8, "endLine": 1, "endColumn": 11}
    assert first["relatedLocations"][0]["message"]["text"] == "and here"
    assert second == {"ruleId": "RLC0001", "level": "error", "message": {"text": "no page"}}


def test_what_is_about_a_whole_file_has_its_file_as_a_place() -> None:
    found = Diagnostic("RLC0156", "it makes no experiment")
    (run,) = json.loads(render_sarif([found], [], {found: "lab/a b.star"}))["runs"]
    assert run["results"][0]["locations"] == [{"physicalLocation": {"artifactLocation": {"uri": "lab/a%20b.star"}}}]
    assert annotation(found, "lab/a b.star") == "::error file=lab/a b.star,title=RLC0156::it makes no experiment"


def test_a_report_without_diagnostics_has_no_results() -> None:
    (run,) = json.loads(render_sarif([], [PAGE]))["runs"]
    assert (run["results"], run["tool"]["driver"]["rules"]) == ([], [])
