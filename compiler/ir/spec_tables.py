"""The tables of a spec as a person writes them: every key that some experiment may hold, with what reads it.

Records say what one experiment of one algorithm holds; a spec is written before that is decided, so a table here is the
union over all algorithms, and over stages that sample and stages that do not.  Every algorithm is loaded for it, so a
plan whose keys are all read never asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Catalogue
from compiler.ir.data import (
    Data,
    DemonstrationData,
    Eval,
    Measurement,
    PairEval,
    PreferenceData,
    PreferenceEval,
    RankedData,
    ScoredData,
    ScoredEval,
)
from compiler.ir.debug import Debug
from compiler.ir.environment import Environment
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.machine import GpuPlacement, Parallel, Placement
from compiler.ir.options import Options
from compiler.ir.record import Field, Record
from compiler.ir.rollout import Generation, Reward, Rollout
from compiler.ir.timeouts import Timeouts
from compiler.ir.training import PolicyTrain, Train

ROOT = ""
STAGE = "stages"

_HEADER = re.compile(r"^\[+[\w.]+\]+(?:: |, |\s+)")

# Which records one table of a stage may be read into, beside its annotation, and when.
_SAMPLES = "stages that sample"
_GENERATES = "stages that sample or evaluate"
_MEASURES = "stages that are measured on prompts"
_IMITATES = "stages that imitate"
_PREFERS = "stages that learn preferences"
_RANKS = "reward models that learn from pairs"
_SCORES = "reward models that learn scores"
_HAS_GPUS = "targets with GPUs"
# What these read beside what others do is theirs alone.
_ADDS = (_SAMPLES, _MEASURES, _HAS_GPUS, _IMITATES, _PREFERS, _RANKS, _SCORES)
_BOUND_AT_ROOT: tuple[tuple[str, type[Record], str], ...] = (
    ("placement", Placement, ""),
    ("placement", GpuPlacement, _HAS_GPUS),
    ("parallel", Parallel, _HAS_GPUS),
    ("timeouts", Timeouts, _HAS_GPUS),
)
_BOUND: tuple[tuple[str, type[Record], str], ...] = (
    ("rollout", Generation, _GENERATES),
    ("rollout", Rollout, _SAMPLES),
    ("environment", Environment, _GENERATES),
    ("reward", Reward, _GENERATES),
    ("data", Data, ""),
    ("data", DemonstrationData, _IMITATES),
    ("data", PreferenceData, _PREFERS),
    ("data", RankedData, _RANKS),
    ("data", ScoredData, _SCORES),
    ("eval", Measurement, ""),
    ("eval", Eval, _MEASURES),
    ("eval", PreferenceEval, _PREFERS),
    ("eval", PairEval, _RANKS),
    ("eval", ScoredEval, _SCORES),
    ("train", Train, ""),
    ("train", PolicyTrain, _SAMPLES),
    ("debug", Debug, _SAMPLES),
)


class Key(NamedTuple):
    """One key of a table: its declarations (several where algorithms differ), and what reads it.

    `readers` is empty where every experiment reads the key; `is_derived` where the compiler computes it, so that a spec
    cannot set it.
    """

    name: str
    declared: tuple[Field, ...]
    readers: tuple[str, ...]
    is_derived: bool

    @property
    def field(self) -> Field:
        """The first declaration."""
        return self.declared[0]

    @property
    def is_of_an_engine(self) -> bool:
        """Whether it is one of the hundreds that an engine takes by its own names."""
        return issubclass(self.field.owner, Options)


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


def spec_tables(catalogue: Catalogue, *, of_stage: bool) -> dict[str, SpecTable]:
    """Return the tables that a spec may hold at its top, or one stage of `[[stages]]`, by path.

    Derived keys and tables are left out: they are not written.

    Args:
        of_stage: whether to return those of a stage; the top holds them too, shared by all stages.
    """
    found = _tables(catalogue, of_stage=of_stage)
    written = {path: t._replace(keys=tuple(k for k in t.keys if not k.is_derived)) for path, t in found.items()}
    return {path: table for path, table in written.items() if table.keys}


def spec_keys(catalogue: Catalogue) -> dict[str, Key]:
    """Return every key by its path as written (`loss.kl.coef`), tables and derived keys included."""
    tables = _tables(catalogue, of_stage=False)
    return {join(path, key.name): key for path, table in tables.items() for key in table.keys}


def join(table: str, key: str) -> str:
    """Return the path of a key of a table; those of the root have no prefix."""
    return f"{table}.{key}" if table else key


def bounds_in_words(field: Field) -> str:
    """Return the domain of a number, such as `at least 1 and at most 32`, or nothing."""
    signs = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    return " and ".join(f"{signs[op]} {bound:,}" for op, bound in field.bounds)


class _Reading(NamedTuple):
    field: Field
    reader: str
    is_derived: bool


class _Collected:
    def __init__(self, record: type[Record], *, is_list: bool) -> None:
        self.record = record
        self.is_list = is_list
        self.keys: dict[str, list[_Reading]] = {}


class _Walk(NamedTuple):
    """Collects the tables that one reader reads."""

    found: dict[str, _Collected]
    reader: str

    def add(self, record: type[Record], path: str, *, is_list: bool = False, is_derived: bool = False) -> None:
        """Add the fields of a record to the table at a path, and the tables below it."""
        table = self.found.setdefault(path, _Collected(record, is_list=is_list))
        if issubclass(table.record, record):
            table.record = record
        for name, field in record.fields().items():
            if field.spread or (path == ROOT and name == STAGE):
                continue
            readings = table.keys.setdefault(name, [])
            is_inherited = self.reader in _ADDS and any(field is known.field for known in readings)
            reading = _Reading(field, self.reader, is_derived or field.is_derived)
            if not is_inherited and reading not in readings:
                readings.append(reading)
            bound = (named for named, _, _ in (*_BOUND, *_BOUND_AT_ROOT))
            if is_inherited or (path == ROOT and (name == "until" or name in bound)):
                continue
            for nested, nested_is_list in _nested(field):
                self.add(nested, join(path, name), is_list=nested_is_list, is_derived=reading.is_derived)


def _tables(catalogue: Catalogue, *, of_stage: bool) -> dict[str, SpecTable]:
    found: dict[str, _Collected] = {}
    if not of_stage:
        _Walk(found, "").add(Experiment, ROOT)
        for table, record, reader in _BOUND_AT_ROOT:
            _Walk(found, reader).add(record, table)
    _Walk(found, "").add(Stage, ROOT)
    for table, record, reader in _BOUND:
        _Walk(found, reader).add(record, table)
    for pinned in sorted({f"{n}-{v}" for t in map(catalogue.load_target, catalogue.targets) for n, v in t.versions}):
        engine = catalogue.load_engine(pinned)
        _Walk(found, f"engine {engine.name}").add(engine.options, f"{engine.role}.engine.{engine.name}")
    algorithms = {f"algorithm {name}": catalogue.load_algorithm(name).params for name in catalogue.algorithms}
    for reader, params in algorithms.items():
        _Walk(found, reader).add(params, ROOT)
    return {path: _finished(path, table, frozenset(algorithms)) for path, table in found.items()}


def _nested(field: Field) -> Iterator[tuple[type[Record], bool]]:
    for atom in field.kind.atoms:
        if atom.record is not None and atom.record is not Options:
            yield atom.record, False
        if atom.item is not None and atom.item.record is not None:
            yield atom.item.record, True


def _finished(path: str, table: _Collected, algorithms: frozenset[str]) -> SpecTable:
    about = _HEADER.sub("", (table.record.__doc__ or "").partition("\n")[0])
    keys = tuple(_key(name, readings, algorithms) for name, readings in table.keys.items())
    return SpecTable(path, about, table.is_list, keys)


def _key(name: str, readings: list[_Reading], algorithms: frozenset[str]) -> Key:
    fields = tuple(dict.fromkeys(reading.field for reading in readings))
    readers = tuple(dict.fromkeys(reading.reader for reading in readings))
    is_read_by_all = "" in readers or algorithms <= set(readers)
    is_derived = all(reading.is_derived for reading in readings)
    return Key(name, fields, () if is_read_by_all else readers, is_derived)
