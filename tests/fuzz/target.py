"""A fuzz target: what is done with bytes, and bytes to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple


class Target(NamedTuple):
    """What is done with bytes.

    `check` works in a copy of the folder lab/, and raises whatever is a fault; `seeds` are inputs from which others are
    made; `words` are pieces of text that get deep, beside those of specs; `cpu_s` is the processor time that one input
    may take.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]
    words: Callable[[], Iterable[str]]
    cpu_s: float


FOLDER = Path(__file__).with_name("targets")


def names() -> list[str]:
    """Return the names of all targets: the files of targets/."""
    return sorted(path.stem for path in FOLDER.glob("*.py"))


def load(name: str) -> Target:
    """Return the target of a name.  Raises: ModuleNotFoundError if there is none."""
    target = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target
