"""Strings and bytes: their methods, `%` and format."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.formatting import to_repr
from tests.compiler.frontend.starlark.programs import message, value


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ('"hELLO wORLD".capitalize()', '"Hello world"'),
        ('"banana".count("a", 2)', "2"),
        ('"aaaa".count("aa")', "2"),
        ('"banana".count("a", -4, -2)', "1"),
        ('"bonbon".find("on", 2)', "4"),
        ('"bonbon".find("on", 2, 5)', "-1"),
        ('"bonbon".rfind("on", None, 5)', "1"),
        ('"bonbon".index("on", 2)', "4"),
        ('"bonbon".rindex("on")', "4"),
        ('"filename.sky".endswith(".sky", 9, 12)', "False"),
        ('"filename.sky".endswith("name", 0, 8)', "True"),
        ('"foo.cc".endswith((".cc", ".h"))', "True"),
        ('"filename.star".startswith("name", 4)', "True"),
        ('"abc".startswith(())', "False"),
        ('"one/two/three".partition("/")', '("one", "/", "two/three")'),
        ('"one/two/three".rpartition("/")', '("one/two", "/", "three")'),
        ('"one".partition("/")', '("one", "", "")'),
        ('"one".rpartition("/")', '("", "", "one")'),
        ('"bbaa".removeprefix("b")', '"baa"'),
        ('"bbaa".removesuffix("a")', '"bba"'),
        ('"banana".replace("a", "o", 2)', '"bonona"'),
        ('"banana".replace("a", "o", -1)', '"bonono"'),
        ('"ab".replace("", "-")', '"-a-b-"'),
        ('", ".join(["one", "two"])', '"one, two"'),
        ('"a".join("ctmrn".elems())', '"catamaran"'),
        ('"\\rhello\\t ".strip()', '"hello"'),
        ('"  hello   ".strip("h o")', '"ell"'),
        ('"\\n hello  ".lstrip()', '"hello  "'),
        ('"  hello   ".rstrip("h o")', '"  hell"'),
        ('"\\u00a0a\\u2003".strip()', '"a"'),
        ('"hElLo, isn\'t".title()', '"Hello, Isn\'T"'),
        ('"Straße".upper()', '"STRASSE"'),
        ('"ÀB".lower()', '"àb"'),
        ('len("café")', "4"),
        ('"Hello, 世界"[-1]', '"界"'),
    ],
)
def test_methods(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        ('"one two  three".split()', '["one", "two", "three"]'),
        ('"one two  three".split(" ")', '["one", "two", "", "three"]'),
        ('"one two  three".split(None, 1)', '["one", "two  three"]'),
        ('"  a  b ".split(None, 0)', '["a  b "]'),
        ('"  a  b ".rsplit(None, 0)', '["  a  b"]'),
        ('"  a  b  c ".rsplit(None, 1)', '["  a  b", "c"]'),
        ('" a b ".rsplit(None, 7)', '["a", "b"]'),
        ('"  ".split()', "[]"),
        ('"  ".split(None, 0)', "[]"),
        ('"a\\u2003b\\u001cc".split()', '["a", "b\\x1cc"]'),
        ('"".split(",")', '[""]'),
        ('"banana".split("n", 1)', '["ba", "ana"]'),
        ('"banana".rsplit("n", 1)', '["bana", "a"]'),
        ('"A\\nB\\rC\\r\\nD".splitlines()', '["A", "B", "C", "D"]'),
        ('"one\\n\\ntwo\\r\\n".splitlines(True)', '["one\\n", "\\n", "two\\r\\n"]'),
        ('"".splitlines()', "[]"),
        ('"\\n".splitlines()', '[""]'),
    ],
)
def test_splitting(call: str, parts: str) -> None:
    assert value(call) == parts


@pytest.mark.parametrize(
    ("method", "yes", "no"),
    [
        ("isalnum", ["base64", "é1"], ["", "Catch-22", "a²"]),
        ("isalpha", ["ABC", "é"], ["", "a1"]),
        ("isdigit", ["123", "٣"], ["", "1.5", "²"]),
        ("islower", ["hello, world"], ["", "Catch-22", "123"]),
        ("isspace", ["    ", "\\r\\t\\n"], ["", " a", "\\u001c"]),
        ("istitle", ["Hello, World!", "Catch-22", "\u01c5en"], ["", "HAL-9000", "123", "\u01c4en"]),
        ("isupper", ["HAL-9000"], ["", "Catch-22", "123"]),
    ],
)
def test_questions(method: str, yes: list[str], no: list[str]) -> None:
    for word in yes:
        assert value(f'"{word}".{method}()') == "True", word
    for word in no:
        assert value(f'"{word}".{method}()') == "False", word


def test_the_parts_of_a_string_are_a_value_of_their_own() -> None:
    assert value('type("ab".elems())') == '"string.elems"'
    assert value('type(b"ab".elems())') == '"bytes.elems"'
    assert value('list("aé".elems())') == '["a", "é"]'
    assert value('list(b"AB".elems())') == "[65, 66]"
    assert value('["abc".elems()[-1], len("abc".elems())]') == '["c", 3]'
    assert value('[c for c in "ab".elems()]') == '["a", "b"]'
    assert value('zip("ab".elems(), b"ab".elems())') == '[("a", 97), ("b", 98)]'


@pytest.mark.parametrize(
    "use", ["list({})", "tuple({})", "sorted({})", "all({})", "zip({})", "[x for x in {}]", "set({})"]
)
def test_neither_a_string_nor_bytes_is_iterated_over(use: str) -> None:
    assert "got string, want iterable" in message(f"x = {use.format(repr('ab'))}\n")
    assert "got bytes, want iterable" in message(f"x = {use.format(repr(b'ab'))}\n")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('"a".index("z")', 'index: substring "z" not found in "a"'),
        ('"a".rindex("z")', 'rindex: substring "z" not found in "a"'),
        ('"a".split("")', "split: empty separator"),
        ('"a".partition("")', "partition: empty separator"),
        ('"a".join(["b", 1])', "join: in list, want string, got int as element 1: 1"),
        ('"a".join(1)', "join: for parameter elements: got int, want iterable"),
        ('"a".find(1)', "find: for parameter sub: got int, want string"),
        ('"a".find("a", "b")', "find: for parameter start: got string, want int"),
        ('"a".find()', "find: missing argument for sub"),
        ('"a".find("a", 0, 1, 2)', "find: got 4 arguments, want at most 3"),
        ('"a".upper(1)', "upper: got 1 arguments, want no"),
        ('"a".strip(1)', "strip: for parameter chars: got int, want string"),
        ('"a".split(sepp = ",")', "split: got an unexpected keyword argument `sepp`"),
        ('"a".replace("a")', "replace: missing argument for new"),
        ("sorted([1], key = len, keys = 1)", "sorted: got an unexpected keyword argument `keys`"),
        ('"a".replace("a", "b", old = "c")', "give old by its position, without its name"),
        ('"a".startswith(("b", 1))', "startswith: got int, for element 1 of the tuple, want string"),
        ('"a".splitlines(1)', "splitlines: for parameter keepends: got int, want bool"),
        ('"a".starts_with("a")', "string has no .starts_with field or method"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(call: str, words: str) -> None:
    assert words in message(f"x = {call}\n")


def test_a_method_that_almost_exists_is_suggested() -> None:
    assert "did you mean .startswith?" in message('x = "a".starts_with("a")\n')


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ('"%s %r" % ("hi", "hi")', '"hi \\"hi\\""'),
        ('"%%d %d" % 1', '"%d 1"'),
        ('"%d %d" % (-3.9, 3.9)', '"-3 3"'),
        ('"%o %x %X" % (493, 3735928559, 255)', '"755 deadbeef FF"'),
        ('"%o %x" % (-95, -95)', '"-137 -5f"'),
        ('"%e" % 1230000000000', '"1.230000e+12"'),
        ('"%E %f" % (1.5, 2)', '"1.500000E+00 2.000000"'),
        ('"%g %g %G" % (1200, 1e45, 1.2e12)', '"1200.0 1e+45 1.2E+12"'),
        ('"%s" % [1, 2]', '"[1, 2]"'),
        ('"%s" % ((40, -74),)', '"(40, -74)"'),
        ('"%(a)s-%(b)d" % {"a": "x", "b": 2}', '"x-2"'),
        ('"%c%c" % (65, "B")', '"AB"'),
        ('"%s" % b"abc"', '"abc"'),
        ('"plain" % ()', '"plain"'),
    ],
)
def test_percent(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ('"%d %d" % 1', 'not enough arguments for format string "%d %d"'),
        ('"%d" % (1, 2)', "too many arguments for format string"),
        ('"" % 1', "not all arguments converted"),
        ('"%d" % "a"', '%d format requires integer: string "a"'),
        ('"%d" % True', "%d format requires integer: bool True"),
        ('"%d" % float("nan")', "%d format requires integer: float nan"),
        ('"%f" % "a"', "%f format requires float, not string"),
        ('"%5d" % 1', "unknown conversion %5"),
        ('"a%" % ()', "incomplete format"),
        ('"%(a)s" % 1', "format requires a mapping, got int"),
        ('"%(a)s" % {}', "key not found: a"),
        ('"%(a" % {}', "incomplete format key"),
        ('"%c" % "ab"', "%c format requires a single-character string"),
        ('"%c" % -1', "%c format requires a valid Unicode code point"),
    ],
)
def test_percent_with_operands_that_do_not_fit(expression: str, words: str) -> None:
    assert words in message(f"x = {expression}\n")


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ('"a{x}b{y}c{}".format(1, x = 2, y = 3)', '"a2b3c1"'),
        ('"({1}, {0})".format("zero", "one")', '"(one, zero)"'),
        ('"{{}}{0}".format(7)', '"{}7"'),
        ('"{!r}".format("a")', '"\\"a\\""'),
        ('"{012}".format(*range(100))', '"12"'),
        ('"{(}".format(**{"(": 2})', '"2"'),
        ('"{} {}".format([1], None)', '"[1] None"'),
    ],
)
def test_format(call: str, result: str) -> None:
    assert value(call) == result


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('"{}".format()', "no replacement found for index 0"),
        ('"{x}".format(y = 1)', "missing argument 'x'"),
        ('"{} {1}".format(1, 2)', "cannot mix automatic and manual numbering"),
        ('"{0} {}".format(1, 2)', "cannot mix manual and automatic numbering"),
        ('"{a.b}".format(a = 1)', "syntax x.y is not supported"),
        ('"{a[0]}".format(a = 1)', "syntax a[i] is not supported"),
        ('"{a:5}".format(a = 1)', "syntax a:spec is not supported"),
        ('"{a!x}".format(a = 1)', "unknown conversion"),
        ('"{ {} }".format(1)', "nested replacement fields are not supported"),
        ('"{".format(1)', "unmatched '{' in format"),
        ('"}".format(1)', "single '}' in format"),
    ],
)
def test_format_with_fields_that_do_not_fit(call: str, words: str) -> None:
    assert words in message(f"x = {call}\n")


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ('bytes("hé")', 'b"h\\xc3\\xa9"'),
        ("bytes([65, 66])", 'b"AB"'),
        ('b"abc"[1]', "98"),
        ('b"abc"[1:]', 'b"bc"'),
        ('str(b"h\\xf0\\x9f\\x98")', '"h���"'),
        ('str(b"caf\\xc3\\xa9")', '"café"'),
        ('hash(b"")', "2166136261"),
        ('hash(b"a")', str(0xE40C292C)),
        ('b"a" < b"b"', "True"),
        ('{b"a": 1}[b"a"]', "1"),
        ('b"a" == "a"', "False"),
    ],
)
def test_bytes(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("bytes(65)", "bytes: for parameter x: got int, want string, bytes, or iterable of ints"),
        ("bytes([256])", "bytes: at index 0: 256 out of range"),
        ('bytes(["a"])', "bytes: at index 0: got string, want int"),
    ],
)
def test_what_is_no_byte(call: str, words: str) -> None:
    assert words in message(f"x = {call}\n")


@given(st.text())
def test_what_repr_writes_of_a_string_is_that_string(text: str) -> None:
    assert value(to_repr(text, Budget())) == to_repr(text, Budget())


@given(st.binary())
def test_what_repr_writes_of_bytes_is_those_bytes(data: bytes) -> None:
    assert value(f"list({to_repr(data, Budget())}.elems())") == str(list(data))
