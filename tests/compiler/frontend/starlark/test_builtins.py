"""The functions that every program finds, and what they say of arguments that do not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.builtins import universe
from compiler.frontend.starlark.evaluate import run_file
from compiler.frontend.starlark.syntax import parse_file
from compiler.frontend.starlark.thread import Thread
from tests.compiler.frontend.starlark.programs import message, value

NAMES = (
    "None True False abs all any bool bytes dict dir enumerate fail float getattr hasattr hash int len list max min "
    "print range repr reversed set sorted str tuple type zip"
)


def test_every_name_of_the_specification_is_there() -> None:
    assert set(NAMES.split()) | {"chr", "ord"} == set(universe())


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("abs(-3)", "3"),
        ("abs(-2.5)", "2.5"),
        ('all([1, True, "a"])', "True"),
        ("any([0, None])", "False"),
        ("all({}) and not any({})", "True"),
        ("[bool(), bool([]), bool(0.5), bool(range(0))]", "[False, False, True, False]"),
        ("dict()", "{}"),
        ("dict([(1, 2), [3, 4]], x = 5)", '{1: 2, 3: 4, "x": 5}'),
        ('dict({"a": 1}, a = 2)', '{"a": 2}'),
        ("dir({})[:3]", '["clear", "get", "items"]'),
        ("dir(1)", "[]"),
        ('enumerate(["a", "b"], 1)', '[(1, "a"), (2, "b")]'),
        (
            '[float(), float(True), float(3), float("1e3"), float("-inF"), float("+NaN")]',
            "[0.0, 1.0, 3.0, 1000.0, -inf, nan]",
        ),
        ('getattr("banana", "split")("a")', '["b", "n", "n", ""]'),
        ('getattr("", "no", 42)', "42"),
        ('[hasattr("", "find"), hasattr("", "no")]', "[True, False]"),
        ('[hash("hello"), hash("Hello, 世界!"), hash("😿")]', "[99162322, 417292677, 1772962]"),
        ("len({1: 2}) + len((1, 2)) + len(b'abc')", "6"),
        ("[list(), list((1, 2)), list({3: 4})]", "[[], [1, 2], [3]]"),
        ('max("two", "three", "four", key = len)', '"three"'),
        ('min(["two", "three", "four"])', '"four"'),
        ("min(3, 1.0, 1)", "1.0"),
        ("max([1, 2.5])", "2.5"),
        ("min([(2, 1), (1, 9)], key = lambda pair: pair[1])", "(2, 1)"),
        ('[ord("A"), ord("😿"), chr(65), chr(0x1F63F)]', '[65, 128575, "A", "😿"]'),
        ("range(5)[-1]", "4"),
        ("list(range(10, 3, -2))", "[10, 8, 6, 4]"),
        ("reversed(range(3))", "[2, 1, 0]"),
        ("set([3, 1, 1, 2])", "set([3, 1, 2])"),
        ("sorted([3, 1.5, 2], reverse = True)", "[3, 2, 1.5]"),
        ('sorted(["two", "three", "four"], key = len, reverse = True)', '["three", "four", "two"]'),
        ("sorted([(1, 2), (0, 3), (1, 1)], key = lambda pair: pair[0])", "[(0, 3), (1, 2), (1, 1)]"),
        ("sorted([(1, 2), (0, 3), (1, 1)], key = lambda pair: pair[0], reverse = True)", "[(1, 2), (1, 1), (0, 3)]"),
        ("[str(1), str('x'), str([1, 'x']), str(0.0)]", '["1", "x", "[1, \\"x\\"]", "0.0"]'),
        ("[tuple(), tuple([1])]", "[(), (1,)]"),
        (
            "[type(x) for x in [None, 0, 0.0, '', b'', [], (), {}, set(), range(1)]]",
            '["NoneType", "int", "float", "string", "bytes", "list", "tuple", "dict", "set", "range"]',
        ),
        (
            "[type(len), type(lambda: 0), type(True), type([].append)]",
            '["builtin_function_or_method", "function", "bool", "builtin_function_or_method"]',
        ),
        ("zip()", "[]"),
        ('zip(range(10), ["a", "b"])', '[(0, "a"), (1, "b")]'),
    ],
)
def test_results(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("call", "result"),
    [
        ('int("21")', "21"),
        ('int("1234", 16)', "4660"),
        ('int("0x1234", 16)', "4660"),
        ('int("-0x1234", 0)', "-4660"),
        ('int("0b0", 16)', "176"),
        ('int("0B111", 0)', "7"),
        ('int("+0o17", base = 8)', "15"),
        ('int("az", 36)', "395"),
        ('int("007")', "7"),
        ("int(3.99)", "3"),
        ("int(-3.99)", "-3"),
        ("int(True)", "1"),
        ("int(1e20)", "100000000000000000000"),
    ],
)
def test_integers_of_text_and_numbers(call: str, result: str) -> None:
    assert value(call) == result


@given(st.integers(-(2**500), 2**500), st.sampled_from([2, 8, 10, 16]))
def test_an_integer_is_read_back_from_its_digits(number: int, base: int) -> None:
    form = {2: "b", 8: "o", 10: "d", 16: "x"}[base]
    assert value(f'int("{number:{form}}", {base})') == str(number)


@pytest.mark.parametrize(
    "text",
    ["", "-", "+-1", "0x", "1.5", "ab", " 42", "42 ", "1_000", "٣", "--4", "0x12"],
)
def test_what_is_no_decimal_integer(text: str) -> None:
    assert "int: invalid literal with base 10" in message(f'x = int("{text}")\n')


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ('int("0x0x1", 16)', "invalid literal with base 16"),
        ('int("0b2", 2)', "invalid literal with base 2"),
        ('int("012", 0)', "invalid literal with base 0"),
        ('int("1", 1)', "invalid base 1 (want base >= 2 and <= 36, or 0)"),
        ('int("1", "x")', 'base must be an integer: got string, want int: "x"'),
        ("int(1, 10)", "can't convert non-string with explicit base: 1"),
        ("int(None)", "got NoneType, want string or number"),
        ('int(float("nan"))', "cannot convert float NaN to integer"),
        ('int(float("inf"))', "cannot convert float infinity to integer"),
        ("int()", "missing argument for x"),
    ],
)
def test_what_int_refuses(call: str, words: str) -> None:
    assert f"int: {words}" in message(f"x = {call}\n")


@pytest.mark.parametrize("text", ["", "1_0", " 1", "0x10", "+-inf", "one", "1e", "٣"])
def test_what_is_no_float(text: str) -> None:
    assert "float: invalid float literal" in message(f'x = float("{text}")\n')


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("abs('a')", "abs: for parameter x: got string, want int or float (expected int or float, type of parameter"),
        ("abs()", "abs: missing argument for x"),
        ("abs(1, 2)", "abs: got 2 arguments, want at most 1"),
        ("abs(x = 1)", "abs: got an unexpected keyword argument `x`"),
        ("all(1)", "all: for parameter elements: got int, want iterable: type 'int' is not iterable"),
        ("bool(1, 2)", "bool: got 2 arguments"),
        ("chr(-1)", "chr: Unicode code point -1 out of range"),
        ("dict(1)", "dict: got int, want iterable"),
        ("dict([1])", "dict: dictionary update sequence element #0 is not iterable (int)"),
        ("dict([(1, 2, 3)])", "dict: dictionary update sequence element #0 has length 3, want 2"),
        ("dict([([], 1)])", "unhashable type: list"),
        ("dict(1, 2)", "dict: got 2 arguments, want at most 1"),
        ('enumerate([], "a")', "enumerate: for parameter start: got string, want int"),
        ("enumerate([], begin = 1)", "enumerate: got an unexpected keyword argument `begin`"),
        ('float("1e999")', "float: floating-point number too large"),
        ("float([])", "float: for parameter x: got list, want number or string"),
        ('getattr("", "fin")', "string has no .fin field or method"),
        ('getattr("", 1)', "getattr: for parameter name: got int, want string"),
        ("hash(1)", "hash: for parameter x: got int, want string or bytes"),
        ("len(1)", "len: value of type int has no len"),
        ("max()", "max: at least one positional argument required"),
        ("min([])", "min: argument is an empty sequence"),
        ("max([1, 'a'])", "unsupported comparison: string < int not implemented"),
        ("max(1, 2, by = len)", "max: got an unexpected keyword argument `by`"),
        ("ord('ab')", "ord: string encodes 2 Unicode code points, want 1"),
        ("print(1, end = '')", "print: got an unexpected keyword argument `end`"),
        ("range()", "range: missing argument for start_or_stop"),
        ("range(1.5)", "range: for parameter stop: got float, want int"),
        ("range(1, 2, 0)", "range: step argument must not be zero"),
        ("reversed({1: 2}, 3)", "reversed: got 2 arguments"),
        ("set(1)", "set: for parameter elements: got int, want iterable"),
        ("set([[]])", "unhashable type: list"),
        ("sorted([1], len)", "sorted: got 2 positional arguments, want 1"),
        ("sorted([1, 'a'])", "unsupported comparison"),
        ("sorted([1], reverse = 1)", "sorted: for parameter reverse: got int, want bool"),
        ("sorted([1], key = 1)", "not callable"),
        ("sorted([set(), set()])", "unsupported comparison: set < set"),
        ("str()", "str: missing argument for x"),
        ("tuple(1)", "tuple: got int, want iterable"),
        ("zip([1], 2)", "zip: for argument 2: got int, want iterable"),
        ('fail("oops", 1, False)', "fail: oops 1 False"),
        ('fail("a", "b", sep = "/")', "fail: a/b"),
    ],
)
def test_what_is_refused_and_how_it_is_said(call: str, words: str) -> None:
    assert words in message(f"x = {call}\n")


def test_a_key_function_is_called_once_for_each_element_in_order() -> None:
    before = "seen = []\ndef key(x):\n    seen.append(x)\n    return -x\n"
    assert value("[sorted([2, 1, 3], key = key), seen]", before) == "[[3, 2, 1], [2, 1, 3]]"
    assert value("[sorted([5], key = key), seen]", before) == "[[5], [5]]"


def test_what_is_printed_is_kept_and_goes_nowhere() -> None:
    source = SourceFile("test.star", 'print(1, "a", [None])\nprint("b", "c", sep = "-")\nprint()\n')
    thread = Thread(Budget())
    run_file(source, parse_file(source, None), universe=universe(), load=None, thread=thread)
    assert thread.printed == ["1 a [None]", "b-c", ""]


def test_a_name_of_the_universe_can_be_given_another_meaning() -> None:
    assert value("len", "len = 3") == "3"
