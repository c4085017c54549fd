"""The text of a diagnostic: marks stand under what they mark, in any script, at any length."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.json_ import record, render_json
from compiler.diagnostics.printable import display_width
from compiler.diagnostics.span import SourceFile, Span
from compiler.diagnostics.text import render


def span(file: SourceFile, text: str) -> Span:
    start = file.text.index(text)
    return Span(file, start, start + len(text))


def plain(*labels: Label, ascii_only: bool = False, width: int = 120) -> str:
    return render(Diagnostic("RLC0101", "message", labels), color=False, ascii_only=ascii_only, width=width)


def drawn(*rows: str) -> str:
    head = ["error[RLC0101]: message", "  \u250c\u2500 a.toml"]
    return "\n".join([*head, *rows, "   explain: rlc explain RLC0101"])


def test_the_layout_of_two_files_with_help_and_rule() -> None:
    one = SourceFile("grpo.toml", "\n" * 12 + "prompts = 512\nsamples = 12\n")
    two = SourceFile("base.toml", "\n" * 30 + "batch = 1024\n")
    found = Diagnostic(
        "RLC0301",
        "too many samples",
        (
            Label(span(one, "512"), "512 prompts"),
            Label(Span(one, one.text.index("12\n", 25), len(one.text) - 1), "12 each", is_primary=True),
            Label(span(two, "1024"), "4,096 samples"),
        ),
        (Help("set x = 6"), Help("or set y = 8")),
        "BATCH-01",
    )
    assert render(found, color=False, ascii_only=True).split("\n") == [
        "error[RLC0301]: too many samples",
        "  --> grpo.toml",
        "13 | prompts = 512",
        "   |           --- 512 prompts",
        "14 | samples = 12",
        "   |           ^^ 12 each",
        "  --> base.toml",
        "31 | batch = 1024",
        "   |         ---- 4,096 samples",
        "   = help: set x = 6",
        "   = help: or set y = 8",
        "   explain: rlc explain RLC0301   (BATCH-01)",
    ]


def test_without_labels_there_is_header_help_and_explanation() -> None:
    found = Diagnostic("RLC0001", "there is no file a.toml", (), (Help("did you mean b.toml?"),), severity="warning")
    assert render(found, color=False, ascii_only=False).split("\n") == [
        "warning[RLC0001]: there is no file a.toml",
        "   = help: did you mean b.toml?",
        "   explain: rlc explain RLC0001",
    ]


def test_labels_on_one_line_stand_from_left_to_right() -> None:
    file = SourceFile("a.toml", "a = 1, 22\n")
    text = plain(Label(span(file, "22"), "two", is_primary=True), Label(span(file, "1"), "one"))
    assert text == drawn(" 1 \u2502 a = 1, 22", "   \u2502     - one", "   \u2502        ^^ two")


def test_lines_apart_have_a_gap_between_them_and_neighbours_none() -> None:
    file = SourceFile("a.toml", "a = 1\nb = 2\nc = 3\nd = 4\n")
    text = plain(Label(span(file, "1"), "x"), Label(span(file, "2"), "y"), Label(span(file, "4"), "z"))
    marks = ["1 \u2502 a = 1", "  \u2502     - x", "2 \u2502 b = 2", "  \u2502     - y", "  \u22ee", "4 \u2502 d = 4"]
    assert text == drawn(*(" " + row for row in marks), "   \u2502     - z")


def test_a_label_over_several_lines_shows_the_first() -> None:
    file = SourceFile("a.toml", "a = [\n  1,\n]\n")
    assert plain(Label(span(file, "[\n  1,\n]"), "a list")) == drawn(
        " 1 \u2502 a = [", "   \u2502     - a list (to line 3)"
    )


def test_tabs_wide_and_combining_characters_keep_marks_in_place() -> None:
    file = SourceFile("a.toml", "\ta\t= '\u65e5\u672ce\u0301' # x\n")
    text = plain(Label(span(file, "\u65e5\u672ce\u0301"), "wide"), Label(span(file, "x"), "after"))
    assert text == drawn(
        " 1 \u2502     a   = '\u65e5\u672ce\u0301' # x",
        "   \u2502            ----- wide",
        "   \u2502                     - after",
    )


def test_the_end_of_a_line_and_of_a_file_can_be_marked() -> None:
    file = SourceFile("a.toml", "a =\n")
    assert plain(Label(Span(file, 3, 3), "here")) == drawn(" 1 \u2502 a =", "   \u2502    - here")
    file = SourceFile("a.toml", "")
    assert plain(Label(Span(file, 0, 0), "here")) == drawn(" 1 \u2502", "   \u2502 - here")


def test_a_long_line_is_cut_around_its_label() -> None:
    file = SourceFile("a.toml", "a = [" + "1, " * 50 + "777, " + "2, " * 50 + "]\n")
    rows = plain(Label(span(file, "777"), "here"), width=40).split("\n")
    assert len(rows[2]) <= 40
    assert rows[2].startswith(" 1 \u2502 \u2026")
    assert rows[2].endswith("\u2026")
    assert rows[2].index("777") == rows[3].index("---")


def test_labels_far_apart_on_a_long_line_have_an_excerpt_each() -> None:
    file = SourceFile("a.toml", "first = [" + "1, " * 200 + "] # last\n")
    rows = plain(Label(span(file, "first"), "a"), Label(span(file, "last"), "b"), width=60).split("\n")
    assert rows[2].index("first") == rows[3].index("-----")
    assert rows[4].index("last") == rows[5].index("----")


def test_a_label_longer_than_the_terminal_is_cut() -> None:
    file = SourceFile("a.toml", "a = '" + "x" * 500 + "'\n")
    rows = plain(Label(span(file, "x" * 500), "long"), width=50).split("\n")
    assert len(rows[2]) <= 50
    assert rows[3].rstrip(" long").count("-") <= 50


def test_a_terminal_is_shown_escapes_and_does_not_obey_them() -> None:
    file = SourceFile("a\x1b[2J.toml", "a = '\x1b[31m\u202e'\n")
    found = Diagnostic("RLC0101", "bad \x1b]0;x\x07", (Label(span(file, "a"), "\x1b[0m"),), (Help("\x9b1m"),))
    for ascii_only in (False, True):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", render(found, color=False, ascii_only=ascii_only))


def test_color_adds_only_escapes() -> None:
    file = SourceFile("a.toml", "a = 1\n")
    found = Diagnostic("RLC0101", "message", (Label(span(file, "1"), "x", is_primary=True),), (Help("y"),))
    painted = render(found, color=True, ascii_only=False)
    assert "\x1b[1;31m^ x\x1b[0m" in painted
    assert re.sub(r"\x1b\[[0-9;]*m", "", painted) == render(found, color=False, ascii_only=False)


@given(
    st.text(max_size=60), st.text(st.characters(exclude_characters="\n"), min_size=1, max_size=8), st.text(max_size=90)
)
def test_marks_stand_under_their_text_whatever_surrounds_it(before: str, marked: str, after: str) -> None:
    file = SourceFile("a.toml", before + marked + after)
    label = Label(Span(file, len(before), len(before) + len(marked)), "", is_primary=True)
    for ascii_only in (False, True):
        for width in (30, 400):
            row, marks = plain(label, ascii_only=ascii_only, width=width).split("\n")[2:4]
            columns = sum(display_width(c) for c in row[: len(row)])
            assert columns <= max(width, 26)
            assert set(marks.split("|" if ascii_only else "\u2502", 1)[1].strip()) == {"^"}
            assert not ascii_only or (row + marks).isascii()


@given(
    st.text("ab\u65e5\t", max_size=120), st.text("\u672c!", min_size=1, max_size=5), st.text("ab\u65e5\t", max_size=120)
)
def test_the_marked_columns_hold_the_marked_text(before: str, marked: str, after: str) -> None:
    file = SourceFile("a.toml", before + marked + after)
    label = Label(Span(file, len(before), len(before) + len(marked)), "", is_primary=True)
    row, marks = plain(label, width=50).split("\n")[2:4]
    spread = "".join(c + " " * (display_width(c) - 1) for c in row)
    first, last = marks.index("^"), marks.rindex("^") + 1
    assert spread[first:last].replace(" ", "") == marked


def test_json_holds_lines_columns_and_what_a_fix_would_set() -> None:
    file = SourceFile("a.toml", "a = [\n 1]\n")
    found = Diagnostic(
        "RLC0210", "m", (Label(span(file, "[\n 1]"), "t", is_primary=True),), (Help("h", (("a.b", "1"),)),)
    )
    assert record(found) == {
        "code": "RLC0210",
        "rule": "",
        "severity": "error",
        "message": "m",
        "labels": [
            {"path": "a.toml", "line": 1, "column": 5, "end_line": 2, "end_column": 4, "text": "t", "primary": True}
        ],
        "help": [
            {"text": "h", "set": {"a.b": "1"}, "unset": [], "rename": None, "remove": False, "replace": None},
        ],
    }
    assert json.loads(render_json([found, found])) == [record(found)] * 2


def test_json_of_nothing_is_an_empty_list_and_any_text_is_ascii() -> None:
    assert render_json([]) == "[]"
    assert render_json([Diagnostic("RLC0001", "\udcff \u65e5")]).isascii()


def test_a_line_of_a_million_characters_is_cut_like_any_long_one() -> None:
    many = 10**6
    file = SourceFile("a.toml", "a = [" + "1, " * many + "777, " + "2, " * many + "]\n")
    labels = (Label(Span(file, 0, 1), "a list"), Label(span(file, "777"), "here"))
    rows = plain(*labels, width=40).split("\n")
    assert [len(row) <= 40 for row in rows[2:6]] == [True] * 4
    assert rows[2].index("a = [") == rows[3].index("- a list")
    assert rows[2].endswith("\u2026")
    assert rows[4].index("777") == rows[5].index("---")
    assert (rows[4].split()[2][0], rows[4][-1]) == ("\u2026", "\u2026")
