"""The measured tables, and how each is read: those of memory, and those of time."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from checks.planner import (
    bridge_rows,
    counted_rows,
    megatron_rows,
    prime_rows,
    rollout_rows,
    step_rows,
    theory_rows,
    train_rows,
)
from checks.planner.comparison import C, Cells, Comparison, Found, read_rows
from checks.planner.library import Library
from checks.planner.recipe_rows import Verdict, judge
from compiler.planner.memory.constants import Constants
from compiler.planner.time.constants import Rates
from rlc.catalogue import scan

MEASURED = Path(__file__).parent / "measured"


def memory_readers(library: Library) -> tuple[tuple[str, Callable[[Cells], Iterator[Comparison[Constants]]]], ...]:
    """Return what reads the rows of which table of memory, and of what is counted."""
    return (
        ("kv_cache.csv", partial(counted_rows.compare_cache, library)),
        ("memory_theoretical_deepseek.csv", partial(counted_rows.compare_flops, library)),
        ("memory_theoretical_deepseek.csv", partial(theory_rows.compare_deepseek, library)),
        ("memory_theoretical_megatron.csv", partial(theory_rows.compare_megatron, library)),
        ("memory_published.csv", partial(counted_rows.compare_published, library)),
        ("memory_measured_megatron_ci.csv", megatron_rows.compare),
        ("oom_cases.csv", partial(bridge_rows.compare, library)),
        ("memory_measured_fsdp_prime_rl.csv", partial(prime_rows.compare, library)),
        ("memory_measured_fsdp_prime_rl_others.csv", partial(prime_rows.compare, library, is_unseen=True)),
    )


def time_readers(library: Library) -> tuple[tuple[str, Callable[[Cells], Iterator[Comparison[Rates]]]], ...]:
    """Return what reads the rows of which table of time."""
    hardware = scan().load_hardware()
    return (
        ("throughput.csv", partial(train_rows.compare, library, hardware)),
        ("rollout.csv", partial(rollout_rows.compare, library, hardware)),
        ("rl_steps.csv", partial(step_rows.compare, library, hardware)),
        ("rl_steps_others.csv", partial(step_rows.compare, library, hardware, is_unseen=True)),
    )


def recipes(folder: Path = MEASURED) -> list[dict[str, str]]:
    """Return the rows of configurations that people run; none where the folder lacks them."""
    path = folder / "recipes.csv"
    return _table(path) if path.exists() else []


def read_recipes(folder: Path = MEASURED) -> list[Verdict]:
    """Return what the model says of configurations that people run; none where the folder lacks them."""
    return list(judge(recipes(folder), Library(), scan().load_hardware()))


def read_tables(folder: Path = MEASURED) -> dict[str, list[Found[Constants]]]:
    """Return what is compared of memory, by table; tables that the folder lacks are left out."""
    return _read(folder, memory_readers(Library()))


def read_times(folder: Path = MEASURED) -> dict[str, list[Found[Rates]]]:
    """Return what is compared of time, by table; tables that the folder lacks are left out."""
    return _read(folder, time_readers(Library()))


def _read(
    folder: Path, readers: tuple[tuple[str, Callable[[Cells], Iterator[Comparison[C]]]], ...]
) -> dict[str, list[Found[C]]]:
    found: dict[str, list[Found[C]]] = {}
    for name, compare in readers:
        path = folder / name
        if path.exists():
            found.setdefault(name, []).extend(read_rows(_table(path), compare))
    return found


def _table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
