"""Names and their scopes, and all errors that are found without running a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.bindings import CELL, GLOBAL, LOCAL, UNIVERSAL
from compiler.frontend.starlark.resolve import MOST_ERRORS, Resolution, resolve
from compiler.frontend.starlark.syntax import parse_file

UNIVERSE = ("len", "True", "None", "print")


def resolved(text: str, cache: Path | None = None) -> Resolution:
    source = SourceFile("a.star", text)
    return resolve(source, parse_file(source, None), UNIVERSE, cache)


def errors_in(text: str) -> list[Diagnostic]:
    with pytest.raises(SpecError) as caught:
        resolved(text)
    return list(caught.value.diagnostics)


def primary(found: Diagnostic) -> str:
    (label,) = (label for label in found.labels if label.is_primary)
    return label.span.text


@pytest.mark.parametrize(
    ("text", "code", "at", "advice"),
    [
        ("x = lenn\n", "RLC0131", "lenn", "did you mean len?"),
        ("def f():\n  return lonely\nlonly = 1\n", "RLC0131", "lonely", "did you mean lonly?"),
        ("x = true\n", "RLC0131", "true", "write True"),
        ("x = null\n", "RLC0131", "null", "write None"),
        ("x = isinstance(1, 2)\n", "RLC0131", "isinstance", "type(x)"),
        ("x = [y for y in [1]]\nz = y\n", "RLC0131", "y", ""),
        ("x = 1\nx = 2\n", "RLC0132", "x", "another name"),
        ("x = 1\nx += 2\n", "RLC0132", "x", "x_2"),
        ("def f(): pass\nf = 1\n", "RLC0132", "f", "another name"),
        ('load("a", "b")\nload("c", "b")\n', "RLC0132", '"b"', "another name"),
        ("x, x = 1, 2\n", "RLC0132", "x", "another name"),
        ("for x in [1]: pass\n", "RLC0133", "for", "function"),
        ("if len: pass\n", "RLC0133", "if", "function"),
        ("return 1\n", "RLC0133", "return", ""),
        ("break\n", "RLC0133", "break", "return leaves"),
        ("def f():\n  for x in []:\n    def g(): continue\n", "RLC0133", "continue", ""),
        ('def f(): load("a", "b")\n', "RLC0133", "load", "top of the file"),
        ("def f(a, b, a): pass\n", "RLC0134", "a", "rename"),
        ("def f(a = 1, b): pass\n", "RLC0134", "b", "b = None"),
        ("def f(**k, a): pass\n", "RLC0134", "a", "in front"),
        ("def f(*a, *b): pass\n", "RLC0134", "*b", "keep one"),
        ("def f(*): pass\n", "RLC0134", "*", "*args"),
        ("x = lambda *, **k: 1\n", "RLC0134", "*", "*args"),
        ("len(a = 1, a = 2)\n", "RLC0135", "a", "keep one"),
        ("len(a = 1, 2)\n", "RLC0135", "2", "positional, keyword"),
        ("len(*[], a = 1)\n", "RLC0135", "a = 1", "positional, keyword"),
        ("len(**{}, *[])\n", "RLC0135", "*[]", "positional, keyword"),
        ("len(*[], *[])\n", "RLC0135", "*[]", "positional, keyword"),
        ("len() = 1\n", "RLC0136", "len()", ""),
        ("x = [1 for 2 in [3]]\n", "RLC0136", "2", ""),
        ("1 = 2\n", "RLC0136", "1", ""),
        ("len[1:2] = 3\n", "RLC0136", "len[1:2]", ""),
        ("[a, b] += [1]\n", "RLC0136", "[a, b]", "one assignment"),
        ('load("a")\n', "RLC0137", 'load("a")', "name"),
        ('load("a", "")\n', "RLC0137", '""', ""),
        ('load("a", b = "_c")\n', "RLC0137", '"_c"', "rename"),
    ],
)
def test_a_static_error_is_found_where_it_stands(text: str, code: str, at: str, advice: str) -> None:
    (found,) = errors_in(text)
    assert (found.code, primary(found)) == (code, at)
    assert advice in "\n".join(way.text for way in found.help)


def test_all_static_errors_come_at_once_and_a_name_once() -> None:
    found = errors_in("x = aaa\ny = aaa\nz = bbb\nbreak\n")
    assert [(d.code, primary(d)) for d in found] == [("RLC0131", "aaa"), ("RLC0131", "bbb"), ("RLC0133", "break")]


def test_a_file_full_of_errors_shows_the_first_ones() -> None:
    text = "".join(f"x{i} = y{i}\n" for i in range(5_000))
    assert len(errors_in(text)) == MOST_ERRORS


@pytest.mark.parametrize(
    "text",
    [
        "x = len\n",
        "def f():\n  return g()\ndef g(): return 1\n",
        "def f():\n  x = 1\n  x = 2\n  x += 3\n",
        "len = 1\ny = len\n",
        "_ = [x for x in [1]]\nx = 2\n",
        "def f(a, b = 1, *c, d, e = 2, **g): pass\n",
        "def f(a = 1, *, b): pass\n",
        "len(1, a = 2, *[], **{})\n",
        "def f():\n  for x in []:\n    if x: break\n    else: continue\n",
        'load("a", "b", c = "d")\nx = b\n',
        "(a, [b, c]), d = 1\n",
        "x = {}\nx[1], x.y = 1, 2\n",
        "def f():\n  return [lambda: x for x in [1]]\n",
    ],
)
def test_what_the_language_allows_is_no_error(text: str) -> None:
    resolved(text)


def places(text: str) -> list[int]:
    """The kinds of places of all names in the order of the text."""
    names = resolved(text).names
    return [names[at][0] for at in sorted(names)]


def test_a_name_of_a_function_is_local_and_of_the_file_global() -> None:
    assert places("def f(a):\n  b = a\n  return b + c + len\nc = 1\n") == [
        GLOBAL,
        *[LOCAL] * 3,
        GLOBAL,
        UNIVERSAL,
        GLOBAL,
    ]


def test_a_name_that_an_inner_function_uses_is_a_cell_in_both() -> None:
    text = "def f():\n  a = 1\n  b = 2\n  return lambda: a\n"
    assert places(text) == [GLOBAL, CELL, LOCAL, CELL]
    layouts = resolved(text).layouts
    inner, outer = layouts[text.index("lambda")], layouts[0]
    assert (outer.slots, outer.cells, inner.captured) == (3, (1,), ((1, 1),))


def test_a_name_is_captured_through_the_functions_between() -> None:
    text = "def f(a):\n  def g():\n    return lambda: a\n  return g\n"
    layouts = resolved(text).layouts
    assert layouts[text.index("lambda")].captured == ((1, 1),)
    assert layouts[text.index("def g")].captured == ((1, 1),)


def test_the_first_iterable_of_a_comprehension_is_outside_it() -> None:
    assert places("x = [[1]]\ny = [x for x in x for x in x]\n") == [GLOBAL, GLOBAL, LOCAL, LOCAL, GLOBAL, LOCAL, LOCAL]


def test_names_are_kept_on_disk_for_the_same_universe_only(tmp_path: Path) -> None:
    made = resolved("x = len\n", tmp_path)
    assert resolved("x = len\n", tmp_path) == made
    source = SourceFile("a.star", "x = len\n")
    with pytest.raises(SpecError):
        resolve(source, parse_file(source, None), ("True",), tmp_path)
