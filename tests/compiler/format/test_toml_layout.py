"""The layout of TOML: what it changes, and that it changes nothing that is said."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from compiler.format.toml import format_toml

PROJECT = Path(__file__).parents[3]
SHIPPED = sorted([*(PROJECT / "experiments").glob("*.toml"), *(PROJECT / "stdlib").rglob("*.toml")])


@pytest.mark.parametrize(
    ("written", "laid_out"),
    [
        ("a=1\n", "a = 1\n"),
        ("  a   =   1", "a = 1\n"),
        ("\n\n# head\n\n\n\n\na = 1\n\n\n", "# head\n\n\na = 1\n"),
        ("[ a . 'b' ]\n", "[a.b]\n"),
        ("[[ a ]]  \n", "[[a]]\n"),
        ("'a b'.c = 1\n", '"a b".c = 1\n'),
        ("a = 'x'\n", 'a = "x"\n'),
        ("a = 'x\\d'\n", "a = 'x\\d'\n"),
        ("a = 1_000\nb = 0xFF\nc = 1E-3\n", "a = 1_000\nb = 0xFF\nc = 1E-3\n"),
        ("a = [1,2 , 3,]\n", "a = [1, 2, 3]\n"),
        ("a = [\n]\n", "a = []\n"),
        ("a = [1,\n  2]\n", "a = [\n    1,\n    2,\n]\n"),
        ("a = [\n1, 2,\n3, 4\n]\n", "a = [\n    1, 2,\n    3, 4,\n]\n"),
        ("a = {b=1,c  =  {}}\n", "a = { b = 1, c = {} }\n"),
        ("a = { b = [\n1 ] }\n", "a = { b = [\n    1,\n] }\n"),
        ("a = 1# x\n", "a = 1  # x\n"),
        ("a = 1 #x\n", "a = 1  #x\n"),
    ],
)
def test_a_text_is_laid_out(written: str, laid_out: str) -> None:
    assert format_toml(written) == laid_out


def test_equals_signs_that_are_lined_up_stay_so_and_others_are_not_lined_up() -> None:
    assert format_toml("rlc  = 1\nname = 2\nuse   = 3\n") == "rlc  = 1\nname = 2\nuse = 3\n"
    assert format_toml("a    = 1\nbb   = 2\n\nc    = 3\n") == "a  = 1\nbb = 2\n\nc = 3\n"


def test_comments_in_one_column_stay_in_one() -> None:
    assert format_toml("a = 1      # x\nb = 2      # y\n") == "a = 1      # x\nb = 2      # y\n"
    assert format_toml("a=[1,2,3]  # x\nb = 2      # y\n") == "a = [1, 2, 3]  # x\nb = 2          # y\n"


def test_an_array_wider_than_a_hundred_columns_is_broken() -> None:
    wide = "a = [" + ", ".join([f'"{"x" * 40}"'] * 3) + "]\n"
    assert format_toml(wide) == "a = [\n" + f'    "{"x" * 40}",\n' * 3 + "]\n"
    hundred = "a = [" + "1, " * 31 + "1]"
    assert len(hundred) == 100
    assert format_toml(f"{hundred}\n") == f"{hundred}\n"
    assert format_toml(f"aaa{hundred[1:]}\n").count("\n") == 34


def test_comments_in_an_array_stay_where_they_are() -> None:
    written = "a = [ # open\n1, # one\n # alone\n\n2 # two\n, 3\n# end\n]\n"
    laid_out = "a = [  # open\n    1,  # one\n    # alone\n\n    2,  # two\n    3,\n    # end\n]\n"
    assert format_toml(written) == laid_out


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_is_laid_out(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_toml(text) == text


KEYS = st.sampled_from(["a", "b-c", "lr", '"d e"', "'f'", "g_1"])
SCALARS = st.sampled_from(
    ["1", "-2.50", "1e-5", "true", '"x"', "'y'", "'q\"'", '"#"', "'''a\n b'''", '"""\nc # d"""', "1979-05-27 07:32:00"]
)


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> list[str]:
    """The tokens of a value; "~" may hold line breaks and comments, "_" spaces."""
    kind = draw(st.sampled_from(["scalar", "array", "table"])) if depth else "scalar"
    if kind == "scalar":
        return [draw(SCALARS)]
    members = draw(st.lists(values(depth=depth - 1), max_size=4))
    if kind == "array":
        found = ["[", "~"]
        for nth, member in enumerate(members):
            found += [*member, "~", *([",", "~"] if nth < len(members) - 1 or draw(st.booleans()) else [])]
        return [*found, "]"]
    keys = draw(st.lists(KEYS, min_size=len(members), max_size=len(members), unique=True))
    found = ["{", "_"]
    for nth, (key, member) in enumerate(zip(keys, members, strict=True)):
        found += [*([",", "_"] if nth else []), key, "_", "=", "_", *member, "_"]
    return [*found, "}"]


@st.composite
def documents(draw: st.DrawFn) -> str:
    """TOML texts in every kind of disorder."""
    chance = draw(st.randoms(use_true_random=False))
    lines: list[str] = []
    for nth in range(draw(st.integers(1, 3))):
        lines += [chance.choice(["[t{}]", "[ t{} ] # of t", "[[t{}]]"]).format(nth)] if nth else []
        for key in draw(st.lists(KEYS, max_size=4, unique=True)):
            tokens = ["_", key, "_", "=", "_", *draw(values()), "_"]
            lines.append("".join(_space(token, chance) for token in tokens))
            lines[-1] += chance.choice(["", " # behind", "#close", "     # far"])
            lines += chance.choice([[], [""], ["", "", "", ""], ["   # above"], ["# a", ""]])
    return "\n".join(lines) + chance.choice(["", "\n", "\n\n"])


def _space(token: str, chance: random.Random) -> str:
    if token == "_":
        return chance.choice(["", " ", "   ", "\t"])
    if token == "~":
        return chance.choice(["", " ", "\n", "  # in\n", "\n\n # alone\n", "#x\n#y\n  "])
    return token


def comments_of(text: str) -> list[str]:
    """The comments of a text in order; strings of the documents above hold no other `#` than these two."""
    text = text.replace('"#"', "").replace("c # d", "")
    return [found.rstrip() for found in re.findall(r"#[^\n]*", text)]


@given(documents())
def test_a_layout_changes_nothing_that_is_said_and_a_second_one_nothing_at_all(text: str) -> None:
    once = format_toml(text)
    assert tomli.loads(once) == tomli.loads(text)
    assert comments_of(once) == comments_of(text)
    assert format_toml(once) == once
    assert not re.search(r"[ \t]+\n", re.sub(r"'''.*?'''", "s", once, flags=re.DOTALL))
