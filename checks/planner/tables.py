"""The measured tables, and how each is read."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from checks.planner import bridge_rows, counted_rows, megatron_rows, prime_rows, theory_rows
from checks.planner.comparison import Cells, Comparison, Found, read_rows
from checks.planner.library import Library
from checks.planner.recipe_rows import Verdict, judge
from rlc.catalogue import scan

MEASURED = Path(__file__).parent / "measured"

Compare = Callable[[Cells], Iterator[Comparison]]


def readers(library: Library) -> tuple[tuple[str, Compare], ...]:
    """Return what reads the rows of which table."""
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


def read_recipes(folder: Path = MEASURED) -> list[Verdict]:
    """Return what the model says of configurations that people run; none where the folder lacks them."""
    path = folder / "recipes.csv"
    return list(judge(_table(path), Library(), scan().load_hardware())) if path.exists() else []


def read_tables(folder: Path = MEASURED) -> dict[str, list[Found]]:
    """Return what is compared, by table; tables that the folder lacks are left out."""
    found: dict[str, list[Found]] = {}
    for name, compare in readers(Library()):
        path = folder / name
        if path.exists():
            found.setdefault(name, []).extend(read_rows(_table(path), compare))
    return found


def _table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))
