"""TOML to Value: values as tomli gives them, and spans whose text, parsed alone, is the value."""

from __future__ import annotations

import re
import time

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile
from compiler.diagnostics.text import render
from compiler.frontend.source_text import source_file
from compiler.frontend.toml import parse
from compiler.frontend.value import SPEC, Leaf, List, Node, Table, node_at, plain

SPEC_TEXT = """#:schema rlc.schema.json
rlc = 1
name = "qwen3-math"   # a name
use = ["//recipes:dapo", 'base.toml']

[model]
name = "//models:tiny_qwen3"
rope_base = 1e6
tokenizer = { kind = "characters", alphabet = "abc\\u00e9" }

[rollout]
sampling.temperature = 1.0
sampling."top p" = +0.5
stop_token_ids = [
    1, # one
    0x02, 3_000,
]

[[data.train]]
path = '''
a # no comment [
'''
[data.train.more]
when = 1979-05-27 07:32:00
[[data.train]]
path = \"\"\"b \\"c\\" \"\"\"\"\"
on = true
"""


def read(text: str) -> tuple[Table | None, list[Diagnostic]]:
    reporter = Reporter()
    table = parse(source_file("x.toml", text), SPEC, reporter)
    return table, reporter.diagnostics


def check_places(node: Node) -> None:
    if isinstance(node, Leaf):
        assert repr(tomli.loads("k = " + node.span.text)["k"]) == repr(node.value)
    elif isinstance(node, List):
        for item in node.items:
            check_places(item)
    else:
        for key, entry in node.entries.items():
            assert list(tomli.loads(entry.key_span.text + " = 0")) == [key]
            check_places(entry.node)


def test_each_span_of_a_spec_holds_its_value() -> None:
    table, found = read(SPEC_TEXT)
    assert found == []
    assert table is not None
    assert plain(table) == tomli.loads(SPEC_TEXT)
    check_places(table)


def test_windows_line_breaks_and_a_byte_order_mark_change_no_value_and_no_line() -> None:
    table, _ = read(SPEC_TEXT)
    other, found = read("\ufeff" + SPEC_TEXT.replace("\n", "\r\n"))
    assert found == []
    assert table is not None
    assert other is not None
    assert plain(other) == plain(table)
    check_places(other)


def test_a_raw_source_is_normalised_before_it_is_parsed() -> None:
    reporter = Reporter()
    table = parse(SourceFile("x.toml", "\ufeffa = 1\r\nb = 2\r\n"), SPEC, reporter)
    assert table is not None
    check_places(table)
    assert table.entries["b"].node.span.line == 2


def test_tables_stand_at_their_header_and_implied_tables_at_their_key() -> None:
    table, _ = read("[a.b]\nx = 1\n[a]\nc.d = 2\n[[e]]\n[[e]]\n")
    assert table is not None
    a, e = table.get("a"), table.get("e")
    assert isinstance(a, Table)
    assert isinstance(e, List)
    assert (a.span.text, a.span.line) == ("[a]", 3)
    assert (a.entries["b"].node.span.text, a.entries["c"].node.span.text) == ("[a.b]", "c")
    assert [item.span.line for item in e.items] == [5, 6]


BARE = st.text("abcxyzABC019_-", min_size=1, max_size=6)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)


def basic(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


KEYS = st.one_of(BARE, BARE.map(lambda k: f"'{k} .'"), TEXTS.map(basic))
DOTTED = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
SCALARS = st.one_of(
    TEXTS.map(basic),
    TEXTS.filter(lambda t: "'" not in t).map(lambda t: f"'{t}'"),
    TEXTS.map(lambda t: '"""\n' + basic(t)[1:-1] + '\n"x"""""'),
    TEXTS.filter(lambda t: "'" not in t).map(lambda t: f"'''{t}\n # ' '''"),
    st.integers(-(2**63), 2**63 - 1).map(str),
    st.integers(0, 2**20).map(lambda i: f"{i:_}"),
    st.integers(0, 2**20).map(hex),
    st.floats().map(repr),
    st.sampled_from(["true", "false", "1979-05-27", "07:32:00", "1979-05-27 07:32", "1979-05-27T00:32:00.5-07:00"]),
)
GAPS = st.sampled_from(["", " ", "\n", " # ] } \" '\n\t"])


def arrays(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(st.tuples(GAPS, values, GAPS).map("".join), max_size=3)
    return st.tuples(parts, st.sampled_from(["", ", "])).map(
        lambda p: "[" + ",".join(p[0]) + (p[1] if p[0] else "") + "]"
    )


def inline_tables(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(DOTTED, values), max_size=3, unique_by=lambda pair: pair[0])
    return pairs.map(lambda p: "{ " + ", ".join(f"{k} = {v}" for k, v in p) + " }")


VALUES = st.recursive(SCALARS, lambda inner: st.one_of(arrays(inner), inline_tables(inner)), max_leaves=6)
LINES = st.tuples(DOTTED, VALUES, st.sampled_from(["", " # note"])).map(lambda p: f"{p[0]}={p[1]}{p[2]}\n")
HEADERS = st.tuples(DOTTED, st.booleans()).map(lambda p: f"[[ {p[0]}]]\n" if p[1] else f"[{p[0]} ] # h\n")
DOCUMENTS = st.lists(st.one_of(LINES, LINES, HEADERS), max_size=8)


def accepted(lines: list[str]) -> str:
    """The lines that, one after another, keep a document valid."""
    text = ""
    for line in lines:
        try:
            tomli.loads(text + line)
        except tomli.TOMLDecodeError:
            continue
        text += line
    return text


@given(DOCUMENTS)
def test_each_span_of_a_generated_document_holds_its_value(lines: list[str]) -> None:
    text = accepted(lines)
    table, found = read(text)
    assert found == []
    assert table is not None
    assert repr(plain(table)) == repr(tomli.loads(text))
    check_places(table)


@given(st.one_of(st.text(max_size=60), st.text("ab=[]{}\"'.,#\n\\ 1-:e", max_size=40), DOCUMENTS.map("".join)))
def test_any_text_gives_a_value_or_a_diagnostic(text: str) -> None:
    reporter = Reporter()
    table = parse(SourceFile("x.toml", text), SPEC, reporter)
    assert (table is None) == reporter.has_errors
    for found in reporter.diagnostics:
        assert found.code in ("RLC0101", "RLC0102", "RLC0103", "RLC0104")
        assert render(found, color=False, ascii_only=True).isascii()


@given(st.integers(0, len(SPEC_TEXT)), st.integers(0, 8), st.text("[]{}\"'=.#\n\\,x\x00\r", max_size=4))
def test_a_mutated_spec_gives_a_value_or_a_diagnostic(at: int, cut: int, put: str) -> None:
    text = SPEC_TEXT[:at] + put + SPEC_TEXT[at + cut :]
    table, found = read(text)
    if table is None:
        assert [d.code for d in found] in (["RLC0101"], ["RLC0102"])
        assert all(0 <= x.span.start <= x.span.end <= len(x.span.file.text) for d in found for x in d.labels)
    else:
        check_places(table)


@pytest.mark.parametrize(
    ("text", "first", "second"),
    [
        ("a = 1\nb = 2\na = 3\n", 1, 3),
        ("[a]\nx = 1\n[b]\n[a]\n", 1, 4),
        ("[[a]]\nx.y = 1\nx.y = 2\n", 2, 3),
        ("a = {x = 1}\na.y = 2\n", 1, 2),
        ("[a.b]\nx = 1\n[a]\nb.y = 2\n", 1, 4),
        ("t = {a = 1,\n a = 2}\n", 1, 2),
        ("a.b = 1\n[a]\nc = 1\n", 1, 2),
        ("a = [1]\n[[a]]\n", 1, 2),
        ("\"a\" = 1\n'a' = 2\n", 1, 2),
    ],
)
def test_a_name_defined_twice_is_shown_in_both_places(text: str, first: int, second: int) -> None:
    table, found = read(text)
    assert table is None
    assert [d.code for d in found] == ["RLC0102"]
    assert [(x.span.line, x.is_primary) for x in found[0].labels] == [(first, False), (second, True)]


@pytest.mark.parametrize(
    ("text", "marked", "help_text"),
    [
        ("a = qwen3\n", "qwen3", 'text stands in quotes: "qwen3"'),
        ("a = 8Ki\n", "8Ki", 'text stands in quotes: "8Ki"'),
        ("a = True\n", "True", "write true"),
        ("a = None\n", "None", 'leave the key out, or write "off" where a recipe set it'),
    ],
)
def test_a_word_that_is_no_value_is_shown_whole_with_what_was_meant(text: str, marked: str, help_text: str) -> None:
    _, found = read(text)
    assert [d.code for d in found] == ["RLC0101"]
    assert (found[0].labels[0].span.text, found[0].help[0].text) == (marked, help_text)


def test_an_array_that_is_not_closed_shows_where_it_began() -> None:
    _, found = read("a = [1,\n  2\nb = 3\n")
    assert [(x.span.text, x.span.line) for x in found[0].labels] == [("[", 1), ("b", 3)]


@pytest.mark.parametrize(
    ("text", "marked"), [('a = "xy\nb = 1\n', '"xy'), ("a = 'xy\n", "'xy"), ('a = """xy', '"""xy')]
)
def test_a_string_that_is_not_closed_is_shown_from_its_quote(text: str, marked: str) -> None:
    _, found = read(text)
    assert found[0].message == "a string is not closed"
    assert found[0].labels[0].span.text == marked


@pytest.mark.parametrize(
    "text",
    [
        "[" * 10_000_000,
        "a = " + "[" * 10_000_000,
        "{a=" * 3_000_000,
        "a = " + "{a=" * 3_000_000,
        "a = " + "[\n#]\n" * 100_000,
        "a" + ".a" * 100_000 + " = 1",
        "[a" + " . 'a'" * 100 + "]",
        "a = " + "[" * 65 + "]" * 65,
    ],
)
def test_deep_nesting_is_a_diagnostic_at_once(text: str) -> None:
    start = time.process_time()
    table, found = read(text)
    assert time.process_time() - start < 2
    assert table is None
    assert [d.code for d in found] == ["RLC0103"]


def test_nesting_within_the_limit_and_brackets_in_strings_are_fine() -> None:
    table, found = read("a = " + "[" * 60 + "]" * 60 + '\nb = "' + "[" * 500 + '"\n# ' + "." * 500 + "{" * 500 + "\n")
    assert found == []
    assert table is not None


def test_headers_dotted_keys_and_brackets_count_together() -> None:
    header = ".".join(["h"] * 30)
    key = ".".join(["k"] * 30)
    _, found = read(f"[{header}]\n{key} = [[[[[[[[1]]]]]]]]\n")
    assert [d.code for d in found] == ["RLC0103"]


@pytest.mark.parametrize("number", ["9223372036854775808", "-9223372036854775809", "0x" + "f" * 5000, "9" * 5000])
def test_an_integer_beyond_64_bits_is_a_diagnostic_at_the_integer(number: str) -> None:
    _, found = read(f'b = "text"\na = [1, {number}]\n')
    assert [d.code for d in found] == ["RLC0104"]
    assert found[0].labels[0].span.text == number


def test_nan_inf_and_dates_come_through() -> None:
    table, found = read("a = nan\nb = -inf\nc = 1979-05-27\nd = 9223372036854775807\n")
    assert found == []
    assert table is not None
    assert repr(node_at(table, "a")).startswith("Leaf(value=nan")
    assert plain(table) == {
        **tomli.loads("b = -inf\nc = 1979-05-27"),
        "d": 2**63 - 1,
        "a": plain(table.entries["a"].node),
    }


def test_no_message_of_the_parser_reaches_a_person_as_a_python_name() -> None:
    for text in ("=", "a", "a =", "a.", "[a", "[[a]", "a = 1 2", "a = {", "a = [,]", "a = \\", 'a = "\\q"', "a\x01"):
        _, found = read(text)
        assert len(found) == 1
        assert not re.search(r"\('|None|Error|\bpos\b", found[0].message + found[0].labels[0].text)


def test_a_very_long_word_is_quoted_only_in_part() -> None:
    _, found = read("a = " + "x" * 10_000 + "\n")
    assert len(found[0].message) < 100
    assert found[0].labels[0].span.end == 10_004
