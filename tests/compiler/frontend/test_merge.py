"""Merging: priorities decide, equals must agree, and what lost stays reachable."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.merge import merge
from compiler.frontend.overrides import parse_overrides
from compiler.frontend.source_text import source_file
from compiler.frontend.toml import parse
from compiler.frontend.value import RECIPE, SPEC, Leaf, List, Priority, Table, node_at, plain

FAR = Priority(RECIPE.level, 2)


def layer(text: str, priority: Priority, name: str = "x.toml") -> Table:
    table = parse(source_file(name, text), priority, Reporter())
    assert table is not None
    return table


def merged(*layers: Table, sets: tuple[str, ...] = ()) -> tuple[Table, list[Diagnostic]]:
    reporter = Reporter()
    return merge([*layers, *parse_overrides(sets, reporter)], reporter), reporter.diagnostics


def test_the_higher_priority_wins_key_by_key_in_any_order_of_the_layers() -> None:
    recipe = layer("[a]\nx = 1\ny = 1\nz = 1\n", RECIPE)
    spec = layer("[a]\nx = 2\ny = 2\n", SPEC)
    for layers in ((recipe, spec), (spec, recipe)):
        table, found = merged(*layers, sets=("a.x=3",))
        assert found == []
        assert plain(table) == {"a": {"x": 3, "y": 2, "z": 1}}


def test_the_nearer_recipe_wins() -> None:
    table, found = merged(layer("x = 1\ny = 1", FAR), layer("x = 2", RECIPE))
    assert (plain(table), found) == ({"x": 2, "y": 1}, [])


def test_lists_are_replaced_whole() -> None:
    table, _ = merged(layer("[[a]]\nx = 1\n[[a]]\nx = 2\n", RECIPE), layer("[[a]]\ny = 3\n", SPEC))
    assert plain(table) == {"a": [{"y": 3}]}


def test_what_lost_is_shadowed_strongest_first() -> None:
    table, _ = merged(layer("x = 1", FAR), layer("x = 2", RECIPE), layer("x = 3", SPEC), sets=("x=4",))
    x = table.get("x")
    assert isinstance(x, Leaf)
    assert [plain(node) for node in (x, *x.shadowed)] == [4, 3, 2, 1]


def test_equal_sources_that_disagree_are_an_error_with_both_places() -> None:
    _, found = merged(layer("[a]\nx = 1", RECIPE, "one.toml"), layer("[a]\nx = 2", RECIPE, "two.toml"))
    assert [(d.code, d.rule, d.paths) for d in found] == [("RLC0210", "CFG-04", ("a.x",))]
    assert {str(x.span) for x in found[0].labels} == {"one.toml:2", "two.toml:2"}
    assert found[0].help[0].sets == (("a.x", "1"),)


def test_equal_sources_that_agree_are_fine_and_one_is_not_true() -> None:
    _, found = merged(layer("x = 1\ny = [1, nan]", RECIPE), layer("x = 1.0\ny = [1, nan]", RECIPE))
    assert found == []
    _, found = merged(layer("x = 1", RECIPE), layer("x = true", RECIPE))
    assert [d.code for d in found] == ["RLC0210"]


def test_a_stronger_source_settles_a_disagreement() -> None:
    table, found = merged(layer("x = 1", RECIPE), layer("x = 2", RECIPE), layer("x = 3", SPEC))
    assert (plain(table), found) == ({"x": 3}, [])


def test_a_value_takes_the_place_of_a_table_and_the_other_way_round() -> None:
    table, found = merged(layer("[a]\nx = 1", RECIPE), layer('a = "off"', SPEC))
    assert (plain(table), found) == ({"a": "off"}, [])
    table, found = merged(layer("[a]\nx = 1", FAR), layer('a = "off"', RECIPE), layer("[a]\ny = 2", SPEC))
    assert (plain(table), found) == ({"a": {"y": 2}}, [])
    a = table.get("a")
    assert isinstance(a, Table)
    assert [plain(node) for node in a.shadowed] == ["off", {"x": 1}]


def test_a_table_and_a_value_of_equal_priority_disagree() -> None:
    for one, two in (("[a]\nx = 1", "a = 1"), ("a = 1", "[a]\nx = 1")):
        _, found = merged(layer(one, RECIPE), layer(two, RECIPE))
        assert [d.code for d in found] == ["RLC0210"]


def test_use_is_left_out_at_the_root_only() -> None:
    table, _ = merged(layer('use = ["//recipes:x"]\n"" = 1\n[a]\nuse = 2', SPEC))
    assert plain(table) == {"": 1, "a": {"use": 2}}


STAGES = '[[stages]]\nname = "sft"\nrun.max_steps = 5\n[[stages]]\nname = "rl"\nrun.max_steps = 7\n'


def test_an_override_reaches_an_element_by_index_and_by_name() -> None:
    table, found = merged(layer(STAGES, SPEC), sets=("stages[0].run.max_steps=1", "stages.rl.run.max_steps=2"))
    assert found == []
    stages = node_at(table, "stages")
    assert isinstance(stages, List)
    assert plain(stages) == [{"name": "sft", "run": {"max_steps": 1}}, {"name": "rl", "run": {"max_steps": 2}}]
    assert isinstance(stages.items[0], Table)
    leaf = node_at(stages.items[0], "run", "max_steps")
    assert isinstance(leaf, Leaf)
    assert [plain(node) for node in leaf.shadowed] == [5]


def test_the_same_element_addressed_twice_must_agree() -> None:
    _, found = merged(layer(STAGES, SPEC), sets=("stages[0].run.max_steps=1", "stages.sft.run.max_steps=2"))
    assert [(d.code, d.paths) for d in found] == [("RLC0210", ("stages[0].run.max_steps",))]


def test_an_element_that_is_not_there_is_an_error_with_the_nearest_name() -> None:
    _, found = merged(layer(STAGES, SPEC), sets=("stages[2].x=1", "stages.sfd.x=1"))
    assert [d.code for d in found] == ["RLC0112", "RLC0112"]
    assert found[0].help[0].text == "elements count from 0: the last is stages[1]"
    assert found[1].help[0].text == "write stages.sft"


def test_an_index_into_what_is_no_list_is_an_error() -> None:
    for text in ("", "a = 1", "[a]\nx = 1"):
        _, found = merged(layer(text, SPEC), sets=("a[0].x=1",))
        assert [d.code for d in found] == ["RLC0112"]


def test_an_index_replaces_an_element_and_a_whole_list_can_be_given() -> None:
    table, _ = merged(layer("a = [1, 2]\nb = [1]", SPEC), sets=("a[1]=9", "b=[3, 4]"))
    assert plain(table) == {"a": [1, 9], "b": [3, 4]}


KEYS = st.sampled_from("abc")
TREES = st.recursive(st.integers(0, 2), lambda t: st.dictionaries(KEYS, t, max_size=3), max_leaves=6)
ROOTS = st.dictionaries(KEYS, TREES, max_size=3)


def as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k} = {as_toml(v)}" for k, v in value.items()) + "}"
    return str(value)


def folded(weak: object, strong: object) -> object:
    """Independent oracle: lay one tree over another."""
    if isinstance(weak, dict) and isinstance(strong, dict):
        keys = [*strong, *(k for k in weak if k not in strong)]
        return {k: folded(weak[k], strong[k]) if k in weak and k in strong else {**weak, **strong}[k] for k in keys}
    return strong


@given(ROOTS, ROOTS, ROOTS)
def test_merging_three_priorities_is_laying_one_over_the_other(far: object, near: object, spec: object) -> None:
    assert isinstance(far, dict)
    assert isinstance(near, dict)
    assert isinstance(spec, dict)
    texts = ["\n".join(f"{k} = {as_toml(v)}" for k, v in tree.items()) for tree in (far, near, spec)]
    layers = [layer(t, p) for t, p in zip(texts, (FAR, RECIPE, SPEC), strict=True)]
    table, found = merged(*layers)
    assert found == []
    assert plain(table) == folded(folded(far, near), spec)
