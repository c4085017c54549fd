"""Ways out as edits: what changes in a text, and that nothing else does."""

from __future__ import annotations

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.span import SourceFile, Span
from compiler.fixes.edits import applied, edits_of, keys_of

X_SET = '[[s]]\nname = "x"\nb = 2\n[[s]]\nname = "y"\nb = 3\n'
X_EXTENDED = '[[s]]\nname = "x"\n\n[s.a]\nb = 2\n\n# of y\n[[s]]\nname = "y"\n'


def mended(text: str, way: Help, *, key: str = "", name: str = "s.toml", place: str = "") -> str | None:
    """The text with a way out applied; `key` is what the primary label covers, `place` what the field has."""
    source = SourceFile(name, text)
    span = Span(source, text.index(key), text.index(key) + len(key))
    found = Diagnostic("RLC0000", "", (Label(span, "", is_primary=True),), (way,))
    value = Span(source, text.index(place), text.index(place) + len(place)) if place else None
    edits = edits_of(way, found, source, lambda _: value)
    return None if edits is None else applied(text, edits)


def setting(path: str, literal: str = "2") -> Help:
    return Help("", ((path, literal),))


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("[a]\nb = 1  # c\n", "a.b", "[a]\nb = 2  # c\n"),
        ("a.b = [1, 3]\n", "a.b[1]", "a.b = [1, 2]\n"),
        ("a = { b = 1 }\n", "a.b", "a = { b = 2 }\n"),
        (
            '[[s]]\nname = "x"\nb = 1\n[[s]]\nname = "y"\nb = 1\n',
            "s.y.b",
            '[[s]]\nname = "x"\nb = 1\n[[s]]\nname = "y"\nb = 2\n',
        ),
    ],
)
def test_a_value_is_replaced_where_it_stands(before: str, path: str, after: str) -> None:
    assert mended(before, setting(path)) == after


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("[a]\nb = 1  # c\n\n[d]\n", "a.e", "[a]\nb = 1  # c\ne = 2\n\n[d]\n"),
        ("[a]\n\n[d]\n", "a.e", "[a]\ne = 2\n\n[d]\n"),
        ("[a]\nb = 1", "a.e", "[a]\nb = 1\ne = 2\n"),
        ("a = 1\n\n[b]\n", "c", "a = 1\nc = 2\n\n[b]\n"),
        ("# head\n\n# of b\n[b]\n", "c", "# head\n\nc = 2\n\n# of b\n[b]\n"),
        ("[a]\nb = 1\n", "c.d", "[a]\nb = 1\n\n[c]\nd = 2\n"),
        ("[a.b]\nc = 1\n", "a.d", "[a]\nd = 2\n\n[a.b]\nc = 1\n"),
        ("a.b = 1\nc = 1\n", "a.d", "a.b = 1\na.d = 2\nc = 1\n"),
        ("a = {}\n", "a.b.c", "a = { b.c = 2 }\n"),
        ("a = { b = 1 }\n", "a.c", "a = { b = 1, c = 2 }\n"),
        (
            '[[s]]\nname = "x"\n\n# of y\n[[s]]\nname = "y"\n',
            "s.x.a.b",
            '[[s]]\nname = "x"\n\n[s.a]\nb = 2\n\n# of y\n[[s]]\nname = "y"\n',
        ),
    ],
)
def test_a_field_that_is_not_written_goes_into_its_table(before: str, path: str, after: str) -> None:
    assert mended(before, setting(path)) == after


@pytest.mark.parametrize("path", ["s.z.b", "s[4].b", "a.b.c"])
def test_where_there_is_no_room_nothing_is_changed(path: str) -> None:
    assert mended('a = { b = 1 }\n[[s]]\nname = "x"\n', setting(path)) is None


def test_a_key_gets_another_name_and_keeps_its_quotes() -> None:
    assert mended("[a]\nlrr = 1\n", Help("", renamed="lr"), key="lrr") == "[a]\nlr = 1\n"
    assert mended('[a]\n"lrr" = 1\n', Help("", renamed="lr"), key='"lrr"') == '[a]\n"lr" = 1\n'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[a]\nb = 1\nkey = [\n 1,\n] # c\nd = 2\n", "[a]\nb = 1\nd = 2\n"),
        ("[a]\nkey = 1", "[a]\n"),
        ("a = { key = 1, b = 2 }\n", "a = { b = 2 }\n"),
        ("a = { b = 2, key = 1 }\n", "a = { b = 2 }\n"),
    ],
)
def test_a_key_goes_with_its_value(before: str, after: str) -> None:
    assert mended(before, Help("", removes=True), key="key") == after


def test_a_whole_table_is_not_removed() -> None:
    assert mended("[key]\na = 1\n", Help("", removes=True), key="key") is None


@pytest.mark.parametrize(
    ("before", "path", "after"),
    [
        ("experiment(a = dict(b = 1))", "a.b", "experiment(a = dict(b = 2))"),
        ("experiment(a = {'b': 1})", "a.b", "experiment(a = {'b': 2})"),
        ("experiment(a = dict(b = 1))", "a.c", "experiment(a = dict(b = 1, c = 2))"),
        ("experiment(a = {'b': 1})", "a.c", "experiment(a = {'b': 1, \"c\": 2})"),
        ("experiment()", "a.c.d", "experiment(a = dict(c = dict(d = 2)))"),
        ("experiment(\n    a = 1,  # x\n)\n", "b", "experiment(\n    a = 1,  # x\n    b = 2,\n)\n"),
        ("experiment(\n    a = 1\n)\n", "b", "experiment(\n    a = 1,\n    b = 2\n)\n"),
    ],
)
def test_an_argument_of_the_one_experiment_is_set(before: str, path: str, after: str) -> None:
    assert mended(before, setting(path), name="s.star") == after


def test_the_place_of_a_field_wins_over_the_call() -> None:
    before = "n = 1\nexperiment(a = n)\nexperiment(a = n)"
    assert (
        mended(before, setting("a", "true"), name="s.star", place="1")
        == "n = True\nexperiment(a = n)\nexperiment(a = n)"
    )


@pytest.mark.parametrize("text", ["experiment(a = f())", "experiment()\nexperiment()", "sweep([])"])
def test_a_starlark_field_without_a_place_of_its_own_is_not_set(text: str) -> None:
    assert mended(text, setting("a.b"), name="s.star") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("f(\n    key = 1,  # x\n    b = 2,\n)", "f(\n    b = 2,\n)"),
        ("f(key = 1, b = 2)", "f(b = 2)"),
        ("f(b = 2, key = 1)", "f(b = 2)"),
        ("f(key = 1)", "f()"),
    ],
)
def test_an_argument_goes(before: str, after: str) -> None:
    assert mended(before, Help("", removes=True), key="key", name="s.star") == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[a]\nb = 1\nc = 2  # two\n", "[a]\nc = 2  # two\n"),
        ("a = { b = 1, c = 2 }\n", "a = { c = 2 }\n"),
        ("a.b = 1\na.c = 2\n", "a.c = 2\n"),
        ("[a.b]\nc = 1\n", None),
        ("[a]\nc = 1\n", None),
    ],
)
def test_a_field_is_no_longer_written(before: str, after: str | None) -> None:
    assert mended(before, Help("", unsets=("a.b",))) == after


def test_an_argument_is_no_longer_written_where_its_value_stands() -> None:
    way = Help("", unsets=("a.b",))
    assert mended("experiment(a = dict(b = 1, c = 2))", way, name="s.star", place="1") == "experiment(a = dict(c = 2))"
    assert mended("n = 1\nexperiment(a = dict(b = n))", way, name="s.star", place="1") is None
    assert mended("experiment(a = f())", way, name="s.star") is None


def test_one_field_goes_as_another_comes() -> None:
    way = Help("", (("c.d", "2"),), unsets=("a.b",))
    assert mended("[a]\nb = 1\n\n[c]\n", way) == "[a]\n\n[c]\nd = 2\n"


def test_fields_of_one_new_table_share_its_header() -> None:
    way = Help("", (("c.d.e", "1"), ("c.d.f", "2")))
    assert mended("[a]\nb = 1\n", way) == "[a]\nb = 1\n\n[c.d]\ne = 1\nf = 2\n"
    assert mended("[a]\nb = 1\n", Help("", (("a.c.d", "1"), ("a.c.e", "2")))) == "[a]\nb = 1\n\n[a.c]\nd = 1\ne = 2\n"


def test_what_is_marked_is_replaced() -> None:
    assert mended("a = True\n", Help("", replaced="true"), key="True") == "a = true\n"
    assert mended("f(truth)", Help("", replaced="True"), key="truth", name="s.star") == "f(True)"


def test_keys_of_a_path_are_those_that_set_takes() -> None:
    assert keys_of('stages."a b".data.train[0].path') == ("stages", "a b", "data", "train", "[0]", "path")
    assert keys_of("a b") == ()
