"""Lowering to the CUDA target: what a process finds in its environment."""

from __future__ import annotations

from compiler.ir.machine import Cluster, EnvironmentVariable
from compiler.ir.openness import Auto


def environment(_: Cluster[Auto]) -> tuple[EnvironmentVariable, ...]:
    """Return the variables, beside those that all targets with GPUs have.

    cuBLAS is given a fixed workspace, without which equal runs may differ.
    """
    return (EnvironmentVariable(name="CUBLAS_WORKSPACE_CONFIG", value=":4096:8"),)
