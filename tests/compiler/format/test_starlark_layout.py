"""The layout of Starlark: what it changes, and that it changes nothing that is said."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.span import SourceFile
from compiler.format.starlark import format_starlark, shape_of
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.starlark.tokens import tokenize

PROJECT = Path(__file__).parents[3]
SHIPPED = sorted([*(PROJECT / "experiments").rglob("*.star"), *(PROJECT / "stdlib").rglob("*.star")])


def laid_out(text: str) -> str:
    return format_starlark(SourceFile("f.star", text), None)


def shape(text: str) -> str:
    return shape_of(parse_file(SourceFile("f.star", text), None))


def comments_of(text: str) -> list[str]:
    return [text[start:end].rstrip() for start, end in tokenize(text)[1]]


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("x=1", "x = 1\n"),
        ("f(a=1,*b,**c)", "f(a = 1, *b, **c)\n"),
        ("x = 'a'\ny = 'b\"'", 'x = "a"\ny = \'b"\'\n'),
        ("x = r'\\d'", 'x = r"\\d"\n'),
        ("x = - 1 if not(y) else a [1 : -2]", "x = -1 if not (y) else a[1:-2]\n"),
        ("x = {'a':1,'b' : [ ]}", 'x = {"a": 1, "b": []}\n'),
        ("x = (1,)", "x = (1,)\n"),
        ("x = 1 .real", "x = 1 .real\n"),
        ("f = lambda x,y=1:x+y", "f = lambda x, y = 1: x + y\n"),
        ("f(lambda x,y:x, 2)", "f(lambda x, y: x, 2)\n"),
        ("a = 1; b = 2", "a = 1\nb = 2\n"),
        ("x = a + \\\n  b", "x = a + b\n"),
        ("load('x.star','y',z='w')", 'load("x.star", "y", z = "w")\n'),
        ("f(a,)", "f(a)\n"),
        ("f(a,\n  b)", "f(a, b)\n"),
        ("f(a,\n  b,)", "f(\n    a,\n    b,\n)\n"),
        ("f(\n  a,\n\n  b,\n)", "f(\n    a,\n\n    b,\n)\n"),
        ("f([\n a,\n])", "f([\n    a,\n])\n"),
        ("x = 1 # c", "x = 1  # c\n"),
    ],
)
def test_a_statement_is_laid_out(written: str, wanted: str) -> None:
    assert laid_out(written) == wanted


def test_blocks_are_indented_by_four_and_stand_on_lines_of_their_own() -> None:
    assert laid_out("if x: a; b\nelse:\n  c") == "if x:\n    a\n    b\nelse:\n    c\n"


def test_functions_of_a_file_have_two_blank_lines_around_them_and_inner_ones_one() -> None:
    written = "x = 1\n# of f\ndef f():\n\n  a = 1\n  def g(): pass\n  return g\ny = 2\n"
    wanted = "x = 1\n\n\n# of f\ndef f():\n    a = 1\n\n    def g():\n        pass\n\n    return g\n\n\ny = 2\n"
    assert laid_out(written) == wanted


def test_a_call_wider_than_a_hundred_columns_has_one_argument_a_line() -> None:
    wide = f'experiment(name = "{"n" * 40}", use = [dapo(clip_high = 0.2)], model = "{"m" * 30}")'
    wanted = (
        f'experiment(\n    name = "{"n" * 40}",\n    use = [dapo(clip_high = 0.2)],\n    model = "{"m" * 30}",\n)\n'
    )
    assert laid_out(wide) == wanted


def test_a_comprehension_that_is_too_wide_has_one_clause_a_line() -> None:
    wide = f"x = [{'a' * 40} for a in {'b' * 40} if {'c' * 20}]"
    assert laid_out(wide) == f"x = [\n    {'a' * 40}\n    for a in {'b' * 40}\n    if {'c' * 20}\n]\n"


def test_an_expression_in_brackets_is_broken_before_its_weakest_operators() -> None:
    wide = f"x = ({'a' * 40} + {'b' * 40} or {'c' * 40})"
    assert laid_out(wide) == f"x = (\n    {'a' * 40} + {'b' * 40}\n    or {'c' * 40}\n)\n"


def test_a_comment_whose_line_is_broken_loses_its_column() -> None:
    one = f"f({', '.join(f'argument_{i} = {i}' for i in range(5))},   # of the last\n)\n"
    assert laid_out(one).splitlines()[5] == "    argument_4 = 4,  # of the last"


@pytest.mark.parametrize("width", [49, 50, 51, 60])
def test_what_fits_in_no_way_is_laid_out_alike_a_second_time(width: int) -> None:
    once = laid_out("(" * width + ")" * width + "(2)")
    assert once.endswith(")(\n    2,\n)\n")
    assert laid_out(once) == once


def test_comments_stay_beside_what_they_are_about() -> None:
    written = "f( # open\n a, # one\n # alone\n b # two\n ,\n # end\n)\ndef g():\n  x # in\n  # deep\n# out\ny\n"
    wanted = (
        "f(  # open\n    a,  # one\n    # alone\n    b,  # two\n    # end\n)\n"
        "\n\ndef g():\n    x  # in\n    # deep\n\n\n# out\ny\n"
    )
    assert laid_out(written) == wanted


def test_a_text_that_is_no_starlark_is_a_diagnostic() -> None:
    with pytest.raises(SpecError):
        laid_out("x = (")


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_is_laid_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert laid_out(text) == text


KINDS = ["atom", "binary", "unary", "call", "list", "dict", "paren", "index", "comp", "if", "tuple"]
ATOMS = st.sampled_from(
    ["a", "bb", "1", "2.5", "'s'", '"t"', "'u\"'", "'''v\n w'''", "None", "c.d", "long_name_of_it" * 3]
)


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> list[str]:
    """The tokens of an expression; "~" is where a line may break if brackets are open."""
    if depth == 0:
        return [draw(ATOMS)]
    inner = expressions(depth=depth - 1)
    kind = draw(st.sampled_from(KINDS))
    one, two, three = draw(inner), draw(inner), draw(inner)
    many = draw(st.lists(inner, max_size=3))
    name = draw(st.sampled_from(["f", "g.h", "dict"]))
    end = draw(st.sampled_from([[], [",", "~"]]))
    listed = [token for nth, item in enumerate(many) for token in [*([",", "~"] if nth else []), *item, "~"]]
    named = ["k", "~", "=", "~", *one, "~", ",", "~", "**", *two, "~"]
    sign = draw(st.sampled_from(["+", "-", "*", "//", "==", "not in", "and", "or", "|"]))
    made = {
        "atom": one,
        "binary": ["(", "~", *one, "~", sign, "~", *two, "~", ")"],
        "unary": ["(", draw(st.sampled_from(["-", "not", "~+"])), *one, ")"],
        "call": [name, "(", "~", *named, *end, ")"],
        "list": ["[", "~", *listed, *(end if many else []), "]"],
        "dict": ["{", "~", *one, ":", "~", *two, "~", *end, "}"],
        "paren": ["(", "~", *one, "~", ")"],
        "index": ["a", "[", "~", *one, ":", *two, "~", "]"],
        "comp": [
            "[",
            "~",
            *one,
            "~",
            "for",
            "x",
            ",",
            "y",
            "in",
            "(",
            *two,
            ")",
            "~",
            "if",
            "(",
            *three,
            ")",
            "~",
            "]",
        ],
        "if": ["(", *one, "~", "if", *two, "~", "else", "~", *three, ")"],
        "tuple": ["(", "~", *one, "~", ",", "~", ")"],
    }
    return made[kind]


def _spaced(tokens: list[str], chance: random.Random) -> str:
    """The text of tokens, with line breaks and comments wherever brackets are open."""
    found, level = "", 0
    for token in tokens:
        level += token.count("(") + token.count("[") + token.count("{") - sum(token.count(c) for c in ")]}")
        if token != "~":
            found += token.removeprefix("~") if token != "~+" else "+"
            found += " "
        elif level:
            found += chance.choice(["", "", "  ", "\n", "\n\n\n   ", " # in\n", "\n  # alone\n", "#x\n#y\n"])
    return found


@st.composite
def programs(draw: st.DrawFn) -> str:
    """Files in every kind of disorder."""
    chance = draw(st.randoms(use_true_random=False))
    lines: list[str] = []
    margins = [""]
    opened = False
    for _ in range(draw(st.integers(1, 5))):
        if not opened and len(margins) > 1 and chance.random() < 0.4:
            margins.pop()
        margin = margins[-1]
        lines += chance.choice([[], [""], ["", "", "", ""], [f"{margin}# above"], ["# outside", ""], ["      # deep"]])
        value = _spaced(draw(expressions()), chance)
        head = chance.choice(
            ["x = {}", "{}", "x, y = {}", "def f(a, b = {}):", "if {}:", "for x in {}:", "if x: y = {}"]
        )
        end = chance.choice(["", "  # behind", "# close", "      # far"])
        opened = head.endswith(":")
        lines.append(margin + head.format(value.rstrip(" ")) + end)
        if opened:
            margins.append(margin + chance.choice(["  ", "    ", " "]))
    lines += [f"{margins[-1]}pass"] if opened else []
    return "\n".join(lines) + chance.choice(["", "\n", "\n# end"])


@given(programs())
def test_a_layout_changes_nothing_that_is_said_and_a_second_one_nothing_at_all(text: str) -> None:
    once = laid_out(text)
    assert shape(once) == shape(text)
    assert comments_of(once) == comments_of(text)
    assert laid_out(once) == once
    assert not re.search(r"[ \t]+\n", once.replace("v\n w", ""))
