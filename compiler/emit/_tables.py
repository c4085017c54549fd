"""The tables of a spec as a person writes them: every key that some experiment may hold, with what reads it.

Records say what one experiment of one algorithm holds; a spec is written before that is decided, so a table here is the
union over all algorithms, and over stages that sample and stages that do not.  Derived fields are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.record import Field, Record
from compiler.ir.rollout import Generation, Reward, Rollout
from compiler.ir.training import PolicyTrain, Train

ROOT = ""
STAGE = "stages"

_HEADER = re.compile(r"^\[+[\w.]+\]+(?:: |, |\s+)")

# Which records one table of a stage may be read into, beside its annotation, and when.
_SAMPLES = "stages that sample"
_GENERATES = "stages that sample or evaluate"
_BOUND: tuple[tuple[str, type[Record], str], ...] = (
    ("rollout", Generation, _GENERATES),
    ("rollout", Rollout, _SAMPLES),
    ("reward", Reward, _GENERATES),
    ("train", Train, ""),
    ("train", PolicyTrain, _SAMPLES),
)


class Key(NamedTuple):
    """One key of a table: its declarations (several where algorithms differ), and what reads it.

    `readers` is empty where every experiment reads the key.
    """

    name: str
    declared: tuple[Field, ...]
    readers: tuple[str, ...]

    @property
    def field(self) -> Field:
        """The first declaration."""
        return self.declared[0]


class SpecTable(NamedTuple):
    """One table: its path (`loss.kl`), how it is written, what it is about, and its keys in declared order."""

    path: str
    doc: str
    is_list: bool
    keys: tuple[Key, ...]

    @property
    def title(self) -> str:
        """The table as TOML writes it; the root has no header."""
        if self.path == ROOT:
            return "top level"
        return f"[[{self.path}]]" if self.is_list else f"[{self.path}]"


class _Collected:
    def __init__(self, record: type[Record], *, is_list: bool) -> None:
        self.record = record
        self.is_list = is_list
        self.keys: dict[str, list[tuple[Field, str]]] = {}


def spec_tables(catalogue: Catalogue, *, of_stage: bool) -> dict[str, SpecTable]:
    """Return the tables that a spec may hold at its top, or one stage of `[[stages]]`, by path.

    Args:
        of_stage: whether to return those of a stage; the top holds them too, shared by all stages.
    """
    found: dict[str, _Collected] = {}
    if not of_stage:
        _add(found, Experiment, ROOT, "")
    _add(found, Stage, ROOT, "")
    for table, record, reader in _BOUND:
        _add(found, record, table, reader)
    algorithms = tuple(f"algorithm {name}" for name in catalogue.algorithms)
    for name, reader in zip(catalogue.algorithms, algorithms, strict=True):
        _add(found, catalogue.load_algorithm(name).params, ROOT, reader)
    return {path: _finished(path, table, frozenset(algorithms)) for path, table in found.items()}


def bounds_in_words(field: Field) -> str:
    """Return the domain of a number, such as `at least 1 and at most 32`, or nothing."""
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return " and ".join(f"{signs[op]} {bound:,}" for op, bound in field.bounds)


def labels(folder: Path) -> tuple[str, ...]:
    """Return the labels of a folder of the standard library, such as `//recipes:grpo`."""
    return tuple(f"//{folder.name}:{path.stem}" for path in sorted(folder.glob("*.toml")))


def _add(found: dict[str, _Collected], record: type[Record], path: str, reader: str, *, is_list: bool = False) -> None:
    table = found.setdefault(path, _Collected(record, is_list=is_list))
    if issubclass(table.record, record):
        table.record = record
    for name, field in record.fields().items():
        if field.is_derived or field.spread or (path == ROOT and name == STAGE):
            continue
        declared = table.keys.setdefault(name, [])
        is_inherited = reader == _SAMPLES and any(field is known for known, _ in declared)
        if not is_inherited and (field, reader) not in declared:
            declared.append((field, reader))
        if is_inherited or (path == ROOT and (name == "until" or name in (bound for bound, _, _ in _BOUND))):
            continue
        for nested, nested_is_list in _nested(field):
            _add(found, nested, f"{path}.{name}".lstrip("."), reader, is_list=nested_is_list)


def _nested(field: Field) -> Iterator[tuple[type[Record], bool]]:
    for atom in field.kind.atoms:
        if atom.record is not None:
            yield atom.record, False
        if atom.item is not None and atom.item.record is not None:
            yield atom.item.record, True


def _finished(path: str, table: _Collected, algorithms: frozenset[str]) -> SpecTable:
    keys = []
    for name, declared in table.keys.items():
        fields = tuple(dict.fromkeys(field for field, _ in declared))
        readers = tuple(dict.fromkeys(reader for _, reader in declared))
        keys.append(Key(name, fields, () if "" in readers or algorithms <= set(readers) else readers))
    first_line = (table.record.__doc__ or "").partition("\n")[0]
    return SpecTable(path, _HEADER.sub("", first_line), table.is_list, tuple(keys))
