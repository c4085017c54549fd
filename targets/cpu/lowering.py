"""Lowering to the CPU target: what a process finds in its environment."""

from __future__ import annotations

from compiler.ir.machine import Cluster, EnvironmentVariable
from compiler.ir.openness import Auto


def environment(cluster: Cluster[Auto]) -> tuple[EnvironmentVariable, ...]:
    """Return the variables that fix the number of threads and keep model hubs out, sorted by name."""
    threads = str(cluster.cpu_threads)
    values = {
        "HF_HUB_OFFLINE": "1",
        "MKL_NUM_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_OFFLINE": "1",
    }
    return tuple(EnvironmentVariable(name=name, value=value) for name, value in sorted(values.items()))
