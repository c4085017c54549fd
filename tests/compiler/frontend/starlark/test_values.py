"""Values: equality and keys, freezing, locks, and what values are written as."""

from __future__ import annotations

import pytest

from compiler.frontend.starlark.errors import StarlarkError
from compiler.frontend.starlark.freezing import freeze
from compiler.frontend.starlark.values import StarlarkDict, StarlarkList, StarlarkSet, hash_key
from tests.compiler.frontend.starlark.programs import failure, message, run, value


def test_an_integer_and_an_equal_float_are_one_key() -> None:
    assert value('{1: "a", 2: "b"}[1.0]') == '"a"'
    assert value("len(set([1, 1.0, 2]))") == "2"


def test_true_is_not_one() -> None:
    assert value("True == 1") == "False"
    assert value('{True: "t", 1: "i"}') == '{True: "t", 1: "i"}'
    assert value("(True,) == (1,)") == "False"
    assert value('{(True, 0): "t"}.get((1, 0))') == "None"
    assert value("0 in [False]") == "False"


def test_all_nans_are_equal_and_come_after_all_numbers() -> None:
    assert value('float("nan") == float("nan")') == "True"
    assert value('sorted([float("nan"), 1, float("inf"), -2.5])') == "[-2.5, 1, +inf, nan]"


def test_nan_is_one_key() -> None:
    assert value('len(dict([(float("nan"), 1), (float("nan"), 2)]))') == "1"


def test_integers_and_floats_compare_exactly() -> None:
    big = "(1 << 53) + 1"
    assert value(f"({big} + 0.0) == {big}") == "False"
    assert value(f"{big} > 9007199254740992.0") == "True"


def test_a_set_equals_another_in_any_order_and_no_list() -> None:
    assert value("set([1, 2]) == set([2, 1])") == "True"
    assert value("set([1, 2]) == [1, 2]") == "False"


def test_dicts_are_equal_in_any_order() -> None:
    assert value('{"a": 1, "b": [2]} == {"b": [2], "a": 1}') == "True"
    assert value('{"a": 1} == {"a": 2}') == "False"


def test_ranges_are_equal_if_they_have_the_same_elements() -> None:
    assert value("range(0) == range(2, 1, 3)") == "True"
    assert value("range(0, 3, 2) == range(0, 4, 2)") == "True"
    assert value("range(1, 10) == range(2, 10)") == "False"


@pytest.mark.parametrize("key", ["[]", "{}", "set()", "(1, [])", "range(3)", '"ab".elems()'])
def test_what_can_change_or_is_lazy_is_no_key(key: str) -> None:
    assert "unhashable" in message(f"x = dict([({key}, 1)])")


@pytest.mark.parametrize("shared", ["[1, [True]]", '{"a": [1], "b": 2}', "set([1, 2])"])
def test_what_is_frozen_is_a_key_equal_to_any_that_is_equal(shared: str) -> None:
    first, second = (run(f"shared = {shared}\n").globals["shared"] for _ in range(2))
    assert first is not second
    assert hash_key(first) == hash_key(second)
    other = run("shared = [[1, [1]], {'a': [1]}, set([1])]\n").globals["shared"]
    assert isinstance(other, StarlarkList)
    assert all(hash_key(first) != hash_key(item) for item in other.items)


def test_a_loaded_list_can_be_a_key() -> None:
    shared = run("pair = [1, 2]\n")
    found = run('load("a.star", "pair")\nfound = {pair: "yes"}[pair]\n', modules={"a.star": shared})
    assert found.globals["found"] == "yes"


def test_a_tuple_of_very_many_parts_is_no_key() -> None:
    found = failure("def f():\n    x = (1,)\n    for _ in range(40):\n        x = (x, x)\n    return {x: 1}\nf()\n")
    assert found.code == "RLC0140"


def test_everything_that_a_file_defines_is_frozen() -> None:
    shared = run("xs = [[1], {}]\ndef f(seen = []):\n    seen.append(1)\n")
    loads = 'load("a.star", "xs", "f")\n'
    modules = {"a.star": shared}
    for program, words in {
        "xs.append(2)": "cannot append to frozen list",
        "xs[0].append(2)": "cannot append to frozen list",
        'xs[1]["a"] = 1': "cannot insert into frozen dict",
        "f()": "cannot append to frozen list",
    }.items():
        with pytest.raises(Exception, match=words):
            run(f"{loads}{program}\n", modules=modules)


def test_freezing_ends_on_what_holds_itself() -> None:
    held = StarlarkList()
    outer = StarlarkDict()
    outer.write("held", held)
    held.items.append(outer)
    freeze(held)
    with pytest.raises(StarlarkError, match="cannot insert into frozen dict"):
        outer.check("insert into")


@pytest.mark.parametrize(
    ("holder", "change"),
    [
        ("[1, 2]", "x.append(3)"),
        ("[1, 2]", "x[0] = 3"),
        ("[1, 2]", "x.extend([])"),
        ("[1, 2]", "x.clear()"),
        ("[1, 2]", "x += [3]"),
        ("{1: 2}", "x[1] = 3"),
        ("{1: 2}", "x.update(a = 1)"),
        ("{1: 2}", "x.setdefault(1)"),
        ("{1: 2}", "x |= {}"),
        ("set([1, 2])", "x.add(1)"),
        ("set([1, 2])", "x.discard(7)"),
        ("set([1, 2])", "x |= set()"),
    ],
)
def test_what_is_iterated_over_cannot_change(holder: str, change: str) -> None:
    found = message(f"def f():\n    x = {holder}\n    for _ in x:\n        {change}\nf()\n")
    assert "during iteration" in found


def test_the_lock_ends_with_the_loop_however_it_ends() -> None:
    loops = "    for _ in x:\n        break\n    y = [1 for _ in x for _ in x]\n"
    assert value("f()", f"def f():\n    x = [1, 2]\n{loops}    x.append(3)\n    return x\n") == "[1, 2, 3]"


def test_what_holds_itself_is_written_with_dots() -> None:
    before = 'def f():\n    x = [1]\n    d = {"x": x}\n    x.append(d)\n    return x\n'
    assert value("f()", before) == '[1, {"x": [...]}]'
    assert value("str(f())", before) == '"[1, {\\"x\\": [...]}]"'


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("None", "None"),
        ("(1,)", "(1,)"),
        ("set()", "set()"),
        ("set([1, 2])", "set([1, 2])"),
        ("range(10)", "range(10)"),
        ("range(1, 10)", "range(1, 10)"),
        ("range(0, 10, 2)", "range(0, 10, 2)"),
        ("len", "<built-in function len>"),
        ('"banana".count', "<built-in method count of string value>"),
        ('"ab".elems()', '"ab".elems()'),
        ('b"AB".elems()', 'b"AB".elems()'),
        ('b"\\xff\\n\\"a"', 'b"\\xff\\n\\"a"'),
        ("'a\"b\\\\'", '"a\\"b\\\\"'),
    ],
)
def test_values_are_written_as_code(expression: str, text: str) -> None:
    assert value(expression) == text


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ("0.0", "0.0"),
        ("-0.0", "-0.0"),
        ("1.0", "1.0"),
        ("100000.0", "100000.0"),
        ("1000000.0", "1e+06"),
        ("1.5e300", "1.5e+300"),
        ("0.0001", "0.0001"),
        ("0.00001", "1e-05"),
        ("123456789.0", "1.23456789e+08"),
        ("0.1", "0.1"),
        ("1e1", "10.0"),
    ],
)
def test_a_float_has_the_fewest_digits_and_looks_like_one(literal: str, text: str) -> None:
    assert value(literal) == text


def test_copies_of_a_dict_are_apart_from_it() -> None:
    assert value("[d, e]", 'd = {"a": 1}\ne = dict(d)\ne["b"] = 2\n') == '[{"a": 1}, {"a": 1, "b": 2}]'


def test_a_key_keeps_its_first_form_and_place() -> None:
    assert value("list(d.items())", 'd = {1: "a", 2: "b"}\nd[1.0] = "c"\n') == '[(1, "c"), (2, "b")]'
    assert value("list(d)", 'd = {True: "a", "x": "b"}\n_ = d.pop(True)\nd[True] = "c"\n') == '["x", True]'


def test_a_set_keeps_the_order_of_its_elements() -> None:
    assert value('set(["b", "a", "b", True])') == 'set(["b", "a", True])'
    assert StarlarkSet([3, 1, 3]).elements() == [3, 1]


def test_nesting_beyond_the_limit_is_refused_not_followed() -> None:
    deep = "def f():\n    x = []\n    for _ in range(5000):\n        x = [x]\n    return x\n"
    for use in ("str(f())", "f() == f()", "sorted([f(), f()])"):
        assert failure(f"{deep}x = {use}\n").code == "RLC0142"
