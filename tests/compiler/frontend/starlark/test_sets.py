"""Sets against a model in lists: what is equal is one element, and the order is that of the first appearance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.compiler.frontend.starlark.programs import value

# Pairs of an expression and a number that two expressions share if and only if the language has them as equal.
ELEMENTS = [
    ("0", 0),
    ("0.0", 0),
    ("False", 1),
    ("1", 2),
    ("1.0", 2),
    ("True", 3),
    ("2.5", 4),
    ('"a"', 5),
    ('"b"', 6),
    ("(1, 2)", 7),
    ("(1.0, 2)", 7),
    ("(True, 2)", 8),
    ("1 << 64", 9),
    ("float(1 << 64)", 9),
    ("(1 << 64,)", 10),
    ("None", 11),
    ("()", 12),
]
Items = list[tuple[str, int]]
items = st.lists(st.sampled_from(ELEMENTS), max_size=6)


def unique(found: Items) -> Items:
    return [item for at, item in enumerate(found) if item[1] not in [other for _, other in found[:at]]]


def has(found: Items, item: tuple[str, int]) -> bool:
    return item[1] in [other for _, other in found]


def literal(found: Items) -> str:
    return "[" + ", ".join(text for text, _ in found) + "]"


MODELS: dict[str, Callable[[Items, Items], Items]] = {
    "|": lambda a, b: unique(a + b),
    "&": lambda a, b: [item for item in unique(a) if has(b, item)],
    "-": lambda a, b: [item for item in unique(a) if not has(b, item)],
    "^": lambda a, b: unique([i for i in a if not has(b, i)] + [i for i in b if not has(a, i)]),
}
METHODS = {"|": "union", "&": "intersection", "-": "difference", "^": "symmetric_difference"}


@given(st.sampled_from(list(MODELS)), items, items)
def test_operators_and_methods_agree_with_lists(op: str, a: Items, b: Items) -> None:
    expected = value(f"[repr(x) for x in {literal(MODELS[op](a, b))}]")
    name = METHODS[op]
    in_place = "update" if op == "|" else f"{name}_update"
    before = f"a, b = set({literal(a)}), set({literal(b)})\nc = set({literal(a)})\n_ = c.{in_place}({literal(b)})\n"
    before += f"def f():\n    d = set({literal(a)})\n    d {op}= b\n    return d\n"
    for made in (f"a {op} b", f"a.{name}({literal(b)})", f"a.{name}(b)", "c", "f()"):
        assert value(f"[repr(x) for x in {made}]", before) == expected, made
    assert value("[a, b]", before) == value(f"[set({literal(unique(a))}), set({literal(unique(b))})]")


@given(items, items)
def test_claims_agree_with_lists(a: Items, b: Items) -> None:
    inside = all(has(b, item) for item in a)
    around = all(has(a, item) for item in b)
    apart = not any(has(b, item) for item in a)
    calls = ", ".join(f"set({literal(a)}).{name}({literal(b)})" for name in ("issubset", "issuperset", "isdisjoint"))
    assert value(f"[{calls}]") == f"[{inside}, {around}, {apart}]"
    assert value(f"set({literal(a)}) == set({literal(b)})") == str(inside and around)


@given(st.lists(st.tuples(st.sampled_from(["add", "discard", "pop"]), st.integers(0, 3)), max_size=60))
def test_elements_that_come_and_go_keep_their_order(steps: list[tuple[str, int]]) -> None:
    model: list[int] = []
    lines = ["def f():", "    s = set()", "    d = {}"]
    for step, number in steps:
        if step == "add" and number not in model:
            model.append(number)
        if step == "add":
            lines += [f"    s.add({number})", f"    d.setdefault({number})"]
        elif step == "discard":
            lines += [f"    s.discard({number})", f"    d.pop({number}, None)"]
            model = [other for other in model if other != number]
        elif model:
            del model[0]
            lines += ["    s.pop()", "    d.popitem()"]
    assert value("f()", "\n".join([*lines, "    return [list(s), list(d), len(s), len(d)]", ""])) == str(
        [model, model, len(model), len(model)]
    )


@pytest.mark.parametrize(("number", "left"), [(100, 3), (1000, 1)])
def test_what_is_left_of_a_full_table_is_what_was_not_taken(number: int, left: int) -> None:
    taking = f"def f():\n    s = set(range({number}))\n    d = {{i: i for i in range({number})}}\n"
    taking += (
        f"    for i in range({number - left}):\n        s.pop()\n        d.pop(i)\n    return [list(s), list(d)]\n"
    )
    kept = list(range(number - left, number))
    assert value("f()", taking) == str([kept, kept])
