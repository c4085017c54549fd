"""Any bytes as a spec in Starlark: parsed, resolved, run, compiled, and laid out."""

from __future__ import annotations

from tests.fuzz import seeds
from tests.fuzz.layout import layout_changes_nothing
from tests.fuzz.limits import CPU_S
from tests.fuzz.oracle import sound
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue, written


def check(data: bytes) -> None:
    """Compile every experiment of a file."""
    spec = written("spec.star", data)
    sound(spec, catalogue())
    layout_changes_nothing(spec)


def words() -> tuple[str, ...]:
    """Return what files of Starlark hold."""
    return (*seeds.words_of_starlark(), *seeds.words_of_specs())


# One file may hold many experiments, and its evaluation has a budget of its own.
TARGET = Target(check, lambda: seeds.files(".star"), words, 2 * CPU_S)
