"""The methods of lists, dicts and sets, and where the entries of dicts say that they were written."""

from __future__ import annotations

import pytest

from compiler.frontend.starlark.values import StarlarkDict
from tests.compiler.frontend.starlark.programs import message, run, value


def after(holder: str, *statements: str) -> str:
    """Return what a value is after some statements on x."""
    lines = "".join(f"    {statement}\n" for statement in statements)
    return value("f()", f"def f():\n    x = {holder}\n{lines}    return x\n")


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("x.append(4)", "[1, 2, 3, 4]"),
        ("x.extend((4, 5))", "[1, 2, 3, 4, 5]"),
        ("x.extend(x)", "[1, 2, 3, 1, 2, 3]"),
        ("x += x", "[1, 2, 3, 1, 2, 3]"),
        ("x.insert(0, 9)", "[9, 1, 2, 3]"),
        ("x.insert(-1, 9)", "[1, 2, 9, 3]"),
        ("x.insert(-99, 9)", "[9, 1, 2, 3]"),
        ("x.insert(99, 9)", "[1, 2, 3, 9]"),
        ("x.remove(2.0)", "[1, 3]"),
        ("x.pop()", "[1, 2]"),
        ("x.pop(0)", "[2, 3]"),
        ("x.clear()", "[]"),
    ],
)
def test_lists(statement: str, left: str) -> None:
    assert after("[1, 2, 3]", statement) == left


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ('["b", "a", "n", "a"].index("a")', "1"),
        ('["b", "a", "n", "a"].index("a", 2)', "3"),
        ('["b", "a", "n", "a"].index("a", -3, None)', "1"),
        ("[1, 2].pop(-2)", "1"),
        ('{"a": 1}.get("a")', "1"),
        ('{"a": 1}.get("b")', "None"),
        ('{"a": 1}.get("b", 2)', "2"),
        ('{"a": 1, 2: "b"}.items()', '[("a", 1), (2, "b")]'),
        ('{"a": 1, 2: "b"}.keys()', '["a", 2]'),
        ('{"a": 1, 2: "b"}.values()', '[1, "b"]'),
        ('{"a": 1}.pop("b", None)', "None"),
        ("{True: 1, 2: 3}.popitem()", "(True, 1)"),
        ('{"a": 1}.setdefault("a", 2)', "1"),
        ('{"a": 1}.setdefault("b")', "None"),
        ("set([1, 2, 3]).difference([0, 1], [3, 4])", "set([2])"),
        ("set([1, 2, 3]).intersection([0, 1], [1, 2])", "set([1])"),
        ("set([1, 2]).symmetric_difference([2, 3])", "set([1, 3])"),
        ('set([1, 2]).union([2, 3], {3: "a", 4: "b"})', "set([1, 2, 3, 4])"),
        ("[set([1]).union(), set([1]).difference(), set([1]).intersection()]", "[set([1]), set([1]), set([1])]"),
        ("set([1, 2]).isdisjoint([3])", "True"),
        ("set([1, 2]).issubset([1, 2, 3])", "True"),
        ("set([1, 2]).issuperset([1, 3])", "False"),
        ("set([3, 1, 2]).pop()", "3"),
    ],
)
def test_answers(expression: str, result: str) -> None:
    assert value(expression) == result


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ('x.update([("b", 2)], c = 3)', '{"a": 1, "b": 2, "c": 3}'),
        ('x.update({"a": 4})', '{"a": 4}'),
        ("x.update(x)", '{"a": 1}'),
        ("x.pop('a')", "{}"),
        ("x.clear()", "{}"),
        ("x.setdefault('b', 2)", '{"a": 1, "b": 2}'),
    ],
)
def test_dicts(statement: str, left: str) -> None:
    assert after('{"a": 1}', statement) == left


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("x.add(4)", "set([1, 2, 3, 4])"),
        ("x.add(1.0)", "set([1, 2, 3])"),
        ("x.remove(2)", "set([1, 3])"),
        ("x.discard(9)", "set([1, 2, 3])"),
        ("x.update([3, 4], (5,))", "set([1, 2, 3, 4, 5])"),
        ("x.difference_update([2], [3])", "set([1])"),
        ("x.intersection_update([3, 2])", "set([2, 3])"),
        ("x.symmetric_difference_update([3, 4])", "set([1, 2, 4])"),
        ("x.clear()", "set()"),
    ],
)
def test_sets(statement: str, left: str) -> None:
    assert after("set([1, 2, 3])", statement) == left


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("[1].remove(2)", "remove: element 2 not found"),
        ("[1].index(2)", "index: value not in list: 2 not found"),
        ("[1].pop(1)", "list index 1 out of range: it has 1 elements"),
        ("[].pop()", "list index -1 out of range: it is empty"),
        ("[].insert('a', 1)", "insert: for parameter i: got string, want int"),
        ("[].extend(1)", "extend: for parameter items: got int, want iterable"),
        ("[].append()", "append: missing argument for x"),
        ("[].push(1)", "list has no .push field or method"),
        ("{}.pop('a')", 'pop: missing key: "a" not found in dict'),
        ("{}.popitem()", "popitem: empty dict"),
        ("{}.get([])", "unhashable type: list"),
        ("{}.update([1])", "update: dictionary update sequence element #0 is not iterable"),
        ("{}.update(1)", "update: got int, want iterable"),
        ("{}.get(1, default = 2)", "get: got an unexpected keyword argument `default`"),
        ("[].append(x = 1)", "give x by its position, without its name"),
        ('"a".split(sep = "a")', "split: got an unexpected keyword argument `sep`"),
        ("sorted(iterable = [1])", "give iterable by its position"),
        ("{}.keys(1)", "keys: got 1 arguments, want no"),
        ("set().pop()", "pop: empty set"),
        ("set().remove(1)", "remove: element 1 not found in set"),
        ("set().add([])", "unhashable type: list"),
        ("set().union(1)", "union: for parameter s: got int, want iterable"),
        ("set().issubset()", "issubset: missing argument for s"),
        ("(1, 2).append(3)", "tuple has no .append field or method"),
        ("len.x", "builtin_function_or_method has no .x field or method"),
    ],
)
def test_what_a_method_refuses(call: str, words: str) -> None:
    assert words in message(f"x = {call}\n")


def test_a_method_keeps_its_receiver() -> None:
    assert value("[add(2), x]", "x = [1]\nadd = x.append\n") == "[None, [1, 2]]"


def written(program: str) -> dict[str, str]:
    """Return the texts of the values from which the entries of the dict `d` come."""
    made = run(program).globals["d"]
    assert isinstance(made, StarlarkDict)
    return {key: place.value.text for key, place in (made.origins or {}).items()}


@pytest.mark.parametrize(
    ("program", "places"),
    [
        ('d = {"a": 1 + 1, "b": 3}\n', {"a": "1 + 1", "b": "3"}),
        ("d = dict(a = 1 + 1)\n", {"a": "1 + 1"}),
        ('d = {k: len(k) for k in ["a", "b"]}\n', {"a": "len(k)", "b": "len(k)"}),
        ('d = {}\nd["a"] = 2 * 2\n', {"a": "2 * 2"}),
        ('d = {"a": 1} | {"a": 2, "b": 3}\n', {"a": "2", "b": "3"}),
        ('d = {"a": 1}\nd.update({"b": 2}, c = 3)\n', {"a": "1", "b": "2", "c": "3"}),
        ('def f():\n    d = {"a": 1}\n    d |= dict(a = 5)\n    return d\nd = f()\n', {"a": "5"}),
        ('d = dict({"a": 1}, b = 2)\n', {"a": "1", "b": "2"}),
        ('d = dict(**{"a": 1})\n', {"a": "1"}),
        ("def f(**more):\n    return dict(b = 2, **more)\nd = f(a = 1)\n", {"a": "1", "b": "2"}),
        ('d = {"a": 1}\nd["a"] += 4\n', {"a": "4"}),
        ('d = {"a": 1, "b": 2}\n_ = d.pop("a")\n', {"b": "2"}),
        ('d = dict([("a", 1)])\n', {}),
        ('d = {"a": 1}\nd.update([("a", 2)])\n', {}),
        ('d = {"a": 1}\nd.clear()\n', {}),
    ],
)
def test_an_entry_knows_where_its_value_is_written(program: str, places: dict[str, str]) -> None:
    assert written(program) == places


def test_an_entry_knows_the_calls_in_which_it_was_written() -> None:
    made = run("def inner(x):\n    return dict(a = x)\ndef outer():\n    return inner(1)\nd = outer()\n").globals["d"]
    assert isinstance(made, StarlarkDict)
    frame = (made.origins or {})["a"].frame
    calls: list[tuple[str, str]] = []
    while frame is not None:
        calls.append((frame.function_name, frame.call_span.text))
        frame = frame.parent
    assert calls == [("inner", "inner(1)"), ("outer", "outer()")]
