"""Settings that an engine takes by its own names, handed on as they are: `[rollout.engine.sglang]` and its like.

What there is, and of which type, is data of the pinned engine (`targets/engines/`), so these records are made of that
data instead of being written down.  A plan holds those that a spec gives, and no others: the rest is the engine's own
default, which its version fixes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.openness import OFF, Off
from compiler.ir.record import Record, setting

# What of an engine the planner chooses where a spec says "auto": its share of a GPU's memory.
SHARES = {"sglang": "mem_fraction_static", "vllm": "gpu_memory_utilization"}


class Options(Record):
    """Settings of one engine, by the engine's own names."""


def settings_given(engine: Any, name: str = "") -> dict[str, object]:
    """Return what a spec gives an engine by its own names.

    Args:
        engine: a record that names an engine and has a field for the settings of each.
        name: of the engine, where it is not the one that the record names.
    """
    options = engine.__dict__.get(name or str(engine.__dict__["name"]))
    if not isinstance(options, Options):
        return {}
    return {key: value for key, value in options.__dict__.items() if not isinstance(value, Off)}


class EngineSchema(NamedTuple):
    """A pinned engine: the record of all that it takes, and the field that decides each setting that a plan fixes."""

    name: str
    version: str
    role: str
    options: type[Options]
    decided: Mapping[str, str]
    source: str


def options_record(name: str, about: str, kinds: Mapping[str, str], decided: Mapping[str, str]) -> type[Options]:
    """Return the record of everything that an engine takes.

    Args:
        about: its first line on the reference page.
        kinds: what each setting holds, as annotations of records say it.
        decided: settings that a spec cannot give.
    """
    fields = {key: setting(f"{name}'s own {key}.", default=OFF, derived=key in decided) for key in kinds}
    chosen = {key: f"{kind} | A" for key, kind in kinds.items() if key in SHARES.values()}
    return _record(name, about, {**kinds, **chosen}, fields)


def given(values: Mapping[str, object]) -> Options:
    """Return the record of these settings; their order means nothing."""
    return _record_of(tuple(sorted((key, _kind(value)) for key, value in values.items())))(**values)


@cache
def _record_of(kinds: tuple[tuple[str, str], ...]) -> type[Options]:
    fields = {key: setting(f"The engine's own {key}.") for key, _ in kinds}
    return _record("Options", Options.__doc__ or "", dict(kinds), fields)


def _record(name: str, about: str, kinds: Mapping[str, str], fields: Mapping[str, object]) -> type[Options]:
    body = {"__doc__": about, "__module__": __name__, "__annotations__": dict(kinds), **fields}
    return type(Options)(name, (Options,), body)


def _kind(value: object) -> str:
    """What a setting holds, told from its value alone: a saved plan knows no more."""
    if isinstance(value, tuple):
        return f"tuple[{_kind(value[0]) if value else 'str'}, ...]"
    return type(value).__name__
