"""Paths, held against the library's."""

from __future__ import annotations

import copy
import pathlib
import pickle

from hypothesis import given
from hypothesis import strategies as st

from compiler.diagnostics.file_path import Path

WORDS = ["a", "b.toml", ".hidden", "c.", "d..e", "x.star", ".", "..", "/", "", "//"]
TEXTS = st.lists(st.sampled_from(WORDS), max_size=6).map("".join)
NAMES = ("name", "stem", "suffix", "parts", "parent")


@given(TEXTS, TEXTS)
def test_a_path_is_what_the_library_makes_of_its_text(text: str, other: str) -> None:
    ours, library = Path(text), pathlib.PurePosixPath(text)
    assert (str(ours), ours.as_posix()) == (str(library), library.as_posix())
    assert [getattr(ours, name) for name in NAMES] == [getattr(library, name) for name in NAMES]
    assert tuple(ours.parents) == tuple(library.parents)
    assert ours / other == library / other
    assert Path(text, other) == pathlib.PurePosixPath(text, other)
    assert (ours < Path(other)) == (library < pathlib.PurePosixPath(other))


@given(TEXTS, TEXTS)
def test_a_path_lies_below_what_it_begins_with(text: str, other: str) -> None:
    ours, library = Path("/", text), pathlib.PurePosixPath("/", text)
    if not f"{ours}{other}".startswith("//"):
        assert ours.is_relative_to(other) == library.is_relative_to(other)
        assert ours.is_relative_to(ours.parent)


@given(TEXTS, TEXTS)
def test_paths_of_both_kinds_are_equal_where_their_texts_are(text: str, other: str) -> None:
    ours, library, another = Path(text), pathlib.PurePosixPath(text), pathlib.PurePosixPath(other)
    assert ours == library
    assert library == ours
    assert hash(ours) == hash(library)
    assert (ours == another) == (library == another)
    assert ours != text


def test_a_path_survives_being_copied_and_pickled() -> None:
    path = Path("a/b.toml")
    assert copy.deepcopy(path) == pickle.loads(pickle.dumps(path)) == path


def test_a_file_is_read_as_the_library_reads_it(tmp_path: pathlib.Path) -> None:
    file = Path(tmp_path, "a.txt")
    assert not file.is_file()
    file.write_text("\u00e9\n", encoding="utf-8")
    assert (file.is_file(), file.stat().st_size, file.read_bytes()) == (True, 3, b"\xc3\xa9\n")
    assert file.read_text(encoding="utf-8") == "\u00e9\n"
    with file.open("rb") as opened:
        assert opened.read() == b"\xc3\xa9\n"
