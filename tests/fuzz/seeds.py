"""Inputs to begin with: every spec of the repository, good and bad, and the words that specs are made of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

from compiler.constraints.functions import FUNCTIONS
from compiler.ir.spec_tables import spec_keys, spec_tables
from tests.fuzz.workplace import FILES, catalogue

PROJECT = Path(__file__).parents[2]
WORDS = Path(__file__).with_name("words")
_FOLDERS = ("experiments", "stdlib", "tests/cases", "tests/compiler/frontend/universe")


def files(suffix: str) -> Iterator[bytes]:
    """Yield the content of every file of the repository with this suffix that a spec is, or is made of."""
    for folder in (FILES, *(PROJECT / name for name in _FOLDERS)):
        for path in sorted(folder.rglob(f"*{suffix}")):
            if path.is_file():
                yield path.read_bytes()


@cache
def words_of_specs() -> tuple[str, ...]:
    """Return keys, tables and values that specs of both syntaxes hold."""
    keys = spec_keys(catalogue())
    tables = [*spec_tables(catalogue(), of_stage=False), *spec_tables(catalogue(), of_stage=True)]
    leaves = {path.rpartition(".")[2] for path in keys}
    choices = {str(choice) for key in keys.values() for atom in key.field.kind.atoms for choice in atom.choices}
    found = [*keys, *tables, *leaves, *choices, *catalogue().load_hardware(), *FUNCTIONS, *_words("values.txt")]
    return tuple(dict.fromkeys(word for word in found if word))


def words_of_starlark() -> tuple[str, ...]:
    """Return words, operators and methods of Starlark."""
    return tuple(_words("starlark.txt"))


def _words(name: str) -> list[str]:
    return (WORDS / name).read_text(encoding="utf-8").split()
