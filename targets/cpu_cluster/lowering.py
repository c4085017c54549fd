"""Lowering to the CPU cluster: what a process finds in its environment."""

from __future__ import annotations

from compiler.ir.machine import Cluster, EnvironmentVariable
from compiler.ir.openness import Auto


def environment(cluster: Cluster[Auto]) -> tuple[EnvironmentVariable, ...]:
    """Return the variables that fix the number of threads of a rank, beside those of all targets with GPUs.

    SGLang takes the processor for its device where it is told to.
    """
    threads = str(cluster.cpu_threads)
    values = {"MKL_NUM_THREADS": threads, "OMP_NUM_THREADS": threads, "SGLANG_USE_CPU_ENGINE": "1"}
    return tuple(EnvironmentVariable(name=name, value=value) for name, value in values.items())
