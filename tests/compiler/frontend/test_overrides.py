"""--set: paths, values, places in its own text, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.overrides import parse_override
from compiler.frontend.value import OVERRIDE, Leaf, Node, Table, plain


def read(text: str) -> tuple[Table | None, list[Diagnostic]]:
    reporter = Reporter()
    return parse_override(text, reporter), reporter.diagnostics


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=42", {"a": 42}),
        ("a.b=1e-3", {"a": {"b": 1e-3}}),
        ("a=true", {"a": True}),
        ('a = "x y"', {"a": "x y"}),
        ("a=[1, 2]", {"a": [1, 2]}),
        ("a={b = 1}", {"a": {"b": 1}}),
        ("cluster.target=cpu", {"cluster": {"target": "cpu"}}),
        ("a=8Ki", {"a": "8Ki"}),
        ("a=//models:tiny_qwen3", {"a": "//models:tiny_qwen3"}),
        ("stages[0].run.max_steps=5", {"stages": {"[0]": {"run": {"max_steps": 5}}}}),
        ("stages.sft.run.max_steps=5", {"stages": {"sft": {"run": {"max_steps": 5}}}}),
        ("a[1][02]=5", {"a": {"[1]": {"[2]": 5}}}),
        ('a."b=c.d"=5', {"a": {"b=c.d": 5}}),
        ("a=x=y", None),
    ],
)
def test_a_path_and_a_value_become_nested_tables(text: str, value: object) -> None:
    table, found = read(text)
    assert (None if table is None else plain(table)) == value
    assert (value is None) == bool(found)


def test_places_are_those_of_the_override() -> None:
    table, _ = read('a.bc = ["x", {y = 1}]')
    assert table is not None
    a = table.entries["a"]
    assert isinstance(a.node, Table)
    bc = a.node.entries["bc"]
    assert (a.key_span.text, bc.key_span.text, bc.node.span.text) == ("a", "bc", '["x", {y = 1}]')
    assert (bc.node.span.file.name, bc.node.priority) == ("--set", OVERRIDE)


@pytest.mark.parametrize(
    ("text", "code", "marked"),
    [
        ("train.lr 3", "RLC0110", "train.lr 3"),
        ("", "RLC0110", ""),
        ("=3", "RLC0110", "="),
        ("  =3", "RLC0110", " "),
        ("a..b=3", "RLC0110", ".b"),
        ("a.=3", "RLC0110", "."),
        (".a=3", "RLC0110", ".a"),
        ("[0]=3", "RLC0110", "[0]"),
        ("a.[0]=3", "RLC0110", "[0]"),
        ("a[x]=3", "RLC0110", "[x]"),
        ('a="\udcff"', "RLC0110", "\udcff"),
        ("\udcff=1", "RLC0110", "\udcff"),
        ("a b=3", "RLC0110", " b"),
        ("use=[]", "RLC0110", "use"),
        (".".join("a" * 70) + "=1", "RLC0110", ".".join("a" * 70)),
        ("a=", "RLC0111", "="),
        ("a=two words", "RLC0111", "two words"),
        ("a=[x]", "RLC0111", "[x]"),
        ("a=1\nb=2", "RLC0111", "1\nb=2"),
        ("a=" + "[" * 100, "RLC0103", "["),
        ("a=9223372036854775808", "RLC0104", "9223372036854775808"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_place(text: str, code: str, marked: str) -> None:
    table, found = read(text)
    assert table is None
    assert [d.code for d in found] == [code]
    assert found[0].labels[0].span.text == marked
    assert found[0].labels[0].span.file.text == text


def leaves(node: Node) -> list[Leaf]:
    if isinstance(node, Leaf):
        return [node]
    inner = [entry.node for entry in node.entries.values()] if isinstance(node, Table) else node.items
    return [leaf for child in inner for leaf in leaves(child)]


@given(st.one_of(st.text(max_size=30), st.text("ab.[]0=\"'{}, \n\\", max_size=16)))
def test_any_text_gives_a_table_or_a_diagnostic(text: str) -> None:
    table, found = read(text)
    assert (table is None) == bool(found)
    if table is not None:
        assert all(leaf.span.text for leaf in leaves(table))
