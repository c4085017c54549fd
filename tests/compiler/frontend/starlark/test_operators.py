"""Operators, against closed forms; Python's own integers and slices are the oracle where they agree with Starlark."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.frontend.starlark.budget import Budget
from compiler.frontend.starlark.operators import binary, slice_value
from tests.compiler.frontend.starlark.programs import failure, message, value

BOUND = st.none() | st.integers(-8, 8)


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 // -2", "-4"),
        ("-7 % 3", "2"),
        ("7 % -3", "-2"),
        ("7 / 2", "3.5"),
        ("6 / 2", "3.0"),
        ("1.0 // 0.1", "10.0"),
        ("-7 // 2.0", "-4.0"),
        ("-0.5 // 1", "-1.0"),
        ("5.5 % 2", "1.5"),
        ("-5.5 % 2", "0.5"),
        ("1e308 * 10", "+inf"),
        ("2 + 0.5", "2.5"),
        ("0x12345678 & 0xFF", "120"),
        ("0x12345678 | 0xFF", "305420031"),
        ("93 ^ 429", "496"),
        ("1 << 100", str(1 << 100)),
        ("-1 >> 100", "-1"),
        ("5 >> 1", "2"),
        ("~5", "-6"),
        ("-(-3)", "3"),
        ("+2.5", "2.5"),
        ("not []", "True"),
    ],
)
def test_numbers(expression: str, result: str) -> None:
    assert value(expression) == result


@given(st.integers(), st.integers(), st.sampled_from(["+", "-", "*", "&", "|", "^"]))
def test_integers_are_as_large_as_needed(a: int, b: int, op: str) -> None:
    exact = {"+": a + b, "-": a - b, "*": a * b, "&": a & b, "|": a | b, "^": a ^ b}
    assert binary(op, a, b, Budget()) == exact[op]


@given(st.integers(), st.integers().filter(bool))
def test_floored_division_and_its_remainder_belong_together(a: int, b: int) -> None:
    quotient, remainder = binary("//", a, b, Budget()), binary("%", a, b, Budget())
    assert isinstance(quotient, int)
    assert isinstance(remainder, int)
    assert quotient * b + remainder == a
    assert remainder == 0 or (remainder < 0) == (b < 0)


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("1 // 0", "integer division by zero: 1 // 0"),
        ("1 % 0", "integer modulo by zero: 1 % 0"),
        ("1.5 // 0", "floating-point division by zero: 1.5 // 0"),
        ("1 / 0", "floating-point division by zero: 1 / 0"),
        ("1 % 0.0", "floating-point modulo by zero: 1 % 0.0"),
        ("1 << -1", "negative shift count: -1"),
        ("1 >> -1", "negative shift count: -1"),
        ("1 << 512", "shift count too large: 512"),
        ("(1 << 500) * (1 << 500) * (1 << 500) + 0.5", "int too large to convert to float"),
        ("True + 1", "unknown binary op: bool + int"),
        (
            '"a" + 1',
            'unknown binary op: string + int: unsupported binary operation (not supported on these types): "a" + 1',
        ),
        ("[1] - [1]", "unknown binary op: list - list"),
        ("(1,) + [1]", "unknown binary op: tuple + list"),
        ('"abc" * True', "unknown binary op: string * bool"),
        ("1.5 | 1", "unknown binary op: float | int"),
        ("-True", "unknown unary op: -bool"),
        ("~1.5", "unknown unary op: ~float"),
        ("None < False", "unsupported comparison: NoneType < bool not implemented"),
        ("{} < {}", "unsupported comparison: dict < dict"),
        ("set() < set()", "unsupported comparison: set < set"),
        ("range(1) < range(2)", "unsupported comparison: range < range"),
        ('[1] < ["a"]', "unsupported comparison: int < string"),
    ],
)
def test_what_an_operator_cannot_do_is_said_with_the_values(expression: str, words: str) -> None:
    assert words in message(f"x = {expression}\n")


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ('"ab" + "c"', '"abc"'),
        ("[1] + [2]", "[1, 2]"),
        ("(1,) + (2,)", "(1, 2)"),
        ('b"a" + b"b"', 'b"ab"'),
        ('"ab" * 2', '"abab"'),
        ('2 * b"ab"', 'b"abab"'),
        ("-1 * [1]", "[]"),
        ("(1, 2) * 0", "()"),
        ('{"a": 1, "b": 2} | {"b": 3, "c": 4}', '{"a": 1, "b": 3, "c": 4}'),
        ("set([1, 2]) | set([3, 2])", "set([1, 2, 3])"),
        ("set([1, 2]) & set([2, 3])", "set([2])"),
        ("set([1, 2]) - set([2, 3])", "set([1])"),
        ("set([1, 2]) ^ set([3, 2])", "set([1, 3])"),
    ],
)
def test_sequences_dicts_and_sets(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("before", "statement", "after"),
    [
        ("[1]", "x += (2,)", "[1, 2]"),
        ("[1]", "x += {2: 3}", "[1, 2]"),
        ('{"a": 1}', 'x |= {"b": 2}', '{"a": 1, "b": 2}'),
        ("set([1, 2])", "x |= set([2, 3, 4])", "set([1, 2, 3, 4])"),
        ("set([1, 2])", "x &= set([2, 3])", "set([2])"),
        ("set([1, 2])", "x -= set([2, 3])", "set([1])"),
        ("set([1, 2])", "x ^= set([2, 3])", "set([1, 3])"),
    ],
)
def test_an_augmented_assignment_changes_what_can_change_in_place(before: str, statement: str, after: str) -> None:
    assert (
        value("f()", f"def f():\n    x = {before}\n    y = x\n    {statement}\n    return [x, y]\n")
        == f"[{after}, {after}]"
    )


def test_an_augmented_assignment_makes_a_new_tuple() -> None:
    assert value("f()", "def f():\n    x = (1,)\n    y = x\n    x += (2,)\n    return [x, y]\n") == "[(1, 2), (1,)]"
    assert "unknown binary op: list + int" in message("def f():\n    x = []\n    x += 1\nf()\n")


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("1 in [0, 1.0]", "True"),
        ("4 not in (1, 2)", "True"),
        ('"one" in {"one": 1}', "True"),
        ("1 in set([1])", "True"),
        ('"nasty" in "dynasty"', "True"),
        ("1 in [True, [1]]", "False"),
        ("1 in [True, 1]", "True"),
        ('"a" in [["a"], ("a",), b"a"]', "False"),
        ('"a" in ("b", "a")', "True"),
        ('b"nasty" in b"dynasty"', "True"),
        ('97 in b"abc"', "True"),
        ("300 in b'abc'", "False"),
        ("4.0 in range(0, 10, 2)", "True"),
        ("5 in range(0, 10, 2)", "False"),
        ("4.5 in range(10)", "False"),
        ("999999999999999999 in range(1000000000000000000)", "True"),
        ("len(range(0, 1000000000000000000, 3))", "333333333333333334"),
    ],
)
def test_membership(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("1 in 'a'", "'in <string>' requires string as left operand, not int: 1"),
        ("'a' in b'a'", "'in bytes' requires bytes or int as left operand, not string"),
        ("True in range(3)", "'in range' requires a number as left operand, not bool: True"),
        ("1 in 2", "unknown binary op: int in int"),
        ("[] in {}", "unhashable type: list"),
    ],
)
def test_what_has_no_members_or_none_of_that_kind(expression: str, words: str) -> None:
    assert words in message(f"x = {expression}\n")


@given(st.lists(st.integers(0, 9), max_size=6), BOUND, BOUND, BOUND.filter(lambda step: step != 0))
def test_slices_take_what_python_takes(items: list[int], low: int | None, high: int | None, step: int | None) -> None:
    text = "".join(map(str, items))
    assert slice_value(tuple(items), low, high, step, Budget()) == tuple(items[low:high:step])
    assert slice_value(text, low, high, step, Budget()) == text[low:high:step]
    assert slice_value(text.encode(), low, high, step, Budget()) == text.encode()[low:high:step]


def test_a_slice_of_a_range_is_a_range() -> None:
    assert value("range(10)[1:9:2]") == "range(1, 9, 2)"
    assert value("list(range(0, 10, 2)[::-2])") == "[8, 4, 0]"
    assert value("[1, 2, 3][-99999999999999999999999:99999999999999999999999]") == "[1, 2, 3]"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("[1, 2][2]", "list index 2 out of range: it has 2 elements"),
        ("()[0]", "tuple index 0 out of range: it is empty"),
        ('"abc"[-4]', "string index -4 out of range"),
        ("range(3)[3]", "range index 3 out of range"),
        ("[1]['a']", 'list index: got string, want int: "a"'),
        ("[1][True]", "list index: got bool, want int: True"),
        ('{"steps": 1}["step"]', 'key "step" not in dict: not found (did you mean "steps"?)'),
        ("{1: 2}[3]", "key 3 not in dict"),
        ("{}[[]]", "unhashable type: list"),
        ("1[0]", "unhandled index operation int[int]"),
        ("[1][::0]", "zero is not a valid slice step"),
        ('[1]["a":]', 'invalid start index: got string, want int (not supported): "a"'),
        ("{}[1:2]", "invalid slice operand: dict"),
    ],
)
def test_an_index_that_does_not_fit(expression: str, words: str) -> None:
    assert words in message(f"x = {expression}\n")


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ('x = "abc"\nx[0] = "d"', "string value does not support item assignment"),
        ("x = (1,)\nx[0] = 2", "tuple value does not support item assignment"),
        ("x = [1]\nx[1] = 2", "list index 1 out of range"),
        ("x = {}\nx[[]] = 2", "unhashable type: list"),
    ],
)
def test_an_element_that_cannot_be_assigned(statement: str, words: str) -> None:
    assert words in message(f"{statement}\n")


def test_a_failure_points_at_the_expression() -> None:
    found = failure("x = [1, 2]\ny = 5 + x[7]\n")
    (primary,) = [label.span for label in found.labels if label.is_primary]
    assert primary.text == "x[7]"
