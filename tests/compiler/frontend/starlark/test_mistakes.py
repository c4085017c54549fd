"""The mistakes people make: each has its code, points at what was written, and says what to write instead."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.mistakes import in_words
from compiler.frontend.starlark.syntax import parse_expression, parse_file


def mistake(text: str) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        parse_file(SourceFile("a.star", text), None)
    (found,) = caught.value.diagnostics
    return found


def pointed_at(found: Diagnostic) -> str:
    (primary,) = (label for label in found.labels if label.is_primary)
    return primary.span.text


@pytest.mark.parametrize(
    ("text", "code", "at", "advice"),
    [
        ("if x = 1:\n  pass\n", "RLC0121", "=", "write == to compare"),
        ("x = [y for y in z if y = 1]\n", "RLC0121", "=", "write == to compare"),
        ("def f()\n  pass\n", "RLC0122", "\n", "def f():"),
        ("if x\n  pass\n", "RLC0122", "\n", "if x:"),
        ("if x", "RLC0122", "", "if x:"),
        ("for i in y print(i)\n", "RLC0122", " ", "for i in y:"),
        ("def f():\nx = 1\n", "RLC0123", "x", "indent it"),
        ("x = 1\n  y = 2\n", "RLC0123", "y", "begin it where"),
        ("def f():\n\tx = 1\n        y = 2\n", "RLC0123", " " * 8, "with spaces"),
        ("def f():\n    x = 1\n  y = 2\n", "RLC0123", "  ", "indent it as far"),
        ("f(a,\n  b\nx = 1\n", "RLC0124", "(", "close it with )"),
        ("x = [1, 2)\n", "RLC0124", ")", "close `[` with `]`"),
        ("x = 1)\n", "RLC0124", ")", "take it away"),
        ('x = "abc\ny = 1\n', "RLC0125", '"abc', 'close it: "abc"'),
        ("x = '''abc\ny = 1\n", "RLC0125", "'''", "close it with '''"),
        ("import os\n", "RLC0126", "import", "load("),
        ("from a import b\n", "RLC0126", "from", "load("),
        ("while True:\n  pass\n", "RLC0126", "while", "for i in range"),
        ("class A:\n  pass\n", "RLC0126", "class", "a function"),
        ("try:\n  pass\n", "RLC0126", "try", "nothing is caught"),
        ("raise x\n", "RLC0126", "raise", "fail("),
        ("with x: pass\n", "RLC0126", "with", "no resources"),
        ("async def f(): pass\n", "RLC0126", "async", "take the word away"),
        ("def f():\n  global x\n", "RLC0126", "global", "return the value"),
        ("def f():\n  yield 1\n", "RLC0126", "yield", "list"),
        ("assert x\n", "RLC0126", "assert", "fail("),
        ("del x\n", "RLC0126", "del", "pop"),
        ("a = x is None\n", "RLC0126", "is", "=="),
        ("def f(x: int): pass\n", "RLC0126", ":", "take the type away"),
        ("def f() -> int: pass\n", "RLC0126", "->", "take the type away"),
        ("x: int = 3\n", "RLC0126", ":", "take the type away"),
        (r'x = "\d"' + "\n", "RLC0127", r"\d", r"\\"),
        (r'x = "a\xff"' + "\n", "RLC0127", r"\xff", r"\uXXXX"),
        (r'x = b"\400"' + "\n", "RLC0127", r"\400", "u"),
        (r'x = "\uD800"' + "\n", "RLC0127", r"\uD800", "another"),
        ("x = 010\n", "RLC0127", "010", "0o10"),
        ("x = 1e999\n", "RLC0127", "1e999", 'float("inf")'),
        ("x = " + "1" * 1001 + "\n", "RLC0127", "1" * 1001, "no setting"),
        ('x = f"a"\n', "RLC0127", "f", "format"),
        ('x = u"a"\n', "RLC0127", "u", "prefixes"),
        ("x = 0 < y < 3\n", "RLC0128", "<", "and y < ..."),
        ("x = a in b not in c\n", "RLC0128", "not", "and b not in ..."),
        ("x++\n", "RLC0129", "++", "x += 1"),
        ("x = a && b\n", "RLC0129", "&&", "and"),
        ("x = a || b\n", "RLC0129", "||", "or"),
        ("x = !a\n", "RLC0129", "!", "not"),
        ("x = a <> b\n", "RLC0129", "<>", "!="),
        ("x = 2 ** 3\n", "RLC0129", "**", "multiply"),
        ("x = (y := 3)\n", "RLC0129", ":=", "a line of its own"),
        ("x = {y for y in z}\n", "RLC0129", "for", "set("),
        ("f(y for y in z)\n", "RLC0129", "for", "list"),
        ("if a:\n  b\nelse if c:\n  d\n", "RLC0129", "else if", "elif"),
        ('print "a"\n', "RLC0138", 'print "a"', 'print("a")'),
        ("x = 8Ki\n", "RLC0138", "8Ki", '"8Ki"'),
        ("x = [1 2]\n", "RLC0138", "2", "comma"),
        ('x = {\n  "a": 1\n  "b": 2\n}\n', "RLC0138", '"b"', "comma"),
        ('x = "a" "b"\n', "RLC0138", '"a" "b"', "+"),
        ("def pass(): 1\n", "RLC0120", "pass", "call it pass_"),
        ("load = 1\n", "RLC0120", "load", "call it load_"),
        ("x = a if b\n", "RLC0120", "if", "a if b else None"),
        ("a = 1, 2,\n", "RLC0120", ",", "brackets"),
        ("f(1+2 = 3)\n", "RLC0120", "=", "=="),
        ("x = \N{LEFT DOUBLE QUOTATION MARK}a\n", "RLC0120", "\N{LEFT DOUBLE QUOTATION MARK}", "straight quotes"),
    ],
)
def test_a_mistake_is_told_by_its_name(text: str, code: str, at: str, advice: str) -> None:
    found = mistake(text)
    assert (found.code, pointed_at(found)) == (code, at)
    assert advice in "\n".join(way.text for way in found.help)


def test_an_open_bracket_is_shown_where_it_was_opened_and_where_the_text_ends() -> None:
    found = mistake("x = f(\n  [1, 2],\n  3\n")
    assert [(label.span.line, label.span.text) for label in found.labels] == [(1, "("), (3, "3")]


def test_a_block_that_is_not_indented_shows_what_began_it() -> None:
    found = mistake("def f():\n  for x in y:\n  z\n")
    assert [label.span.text for label in found.labels] == ["for", "z"]


@pytest.mark.parametrize("text", ["def f():", "if x", "def f()", "x = [y for y in z if y", "f(a,", "x = 1\nif x:", "("])
def test_a_text_that_ends_without_a_line_break_has_its_mistake_inside_it(text: str) -> None:
    assert all(label.span.end <= len(text) for label in mistake(text).labels)


def test_anything_else_is_told_by_what_would_do() -> None:
    assert mistake("x = 1 +\n").labels[0].text == "expected an expression"
    assert mistake("load(1)\n").labels[0].text == "expected a string"


def test_expected_tokens_are_given_in_words() -> None:
    assert in_words(frozenset({"NEWLINE"})) == "the end of the line"
    assert in_words(frozenset({"+", "-", "*", ")", ","})) == "an operator, `)` or `,`"


def test_an_expression_that_ends_too_soon_points_into_its_own_text() -> None:
    text = 'that = "a +"'
    with pytest.raises(SpecError) as caught:
        parse_expression(SourceFile("a.toml", text), 8, 11, None)
    (label,) = caught.value.diagnostics[0].labels
    assert (label.span.start, label.span.end) == (10, 11)


# Each sign of this text by itself, and the words.
WORDS = st.sampled_from(
    [
        *re.findall(r"\w+|\W", "if else def f x import 1 8Ki not in for lambda load ()[]{}:=\"'\\+-*,.|!#<>$"),
        *("==", "**", "1.", "\n", "\n  ", "\n\t"),
    ]
)


@given(st.lists(WORDS, max_size=30))
@example(["if", "f"])
def test_any_text_is_a_tree_or_a_diagnostic_inside_it(words: list[str]) -> None:
    text = " ".join(words)
    try:
        tree = parse_file(SourceFile("a.star", text), None)
    except SpecError as error:
        for label in error.diagnostics[0].labels:
            assert 0 <= label.span.start <= label.span.end <= len(text)
            # What is missing at the end of the text has its place behind it, where there is nothing to point at.
            assert label.span.start < label.span.end or label.span.end == len(text)
    else:
        assert tree[0] == "file"
