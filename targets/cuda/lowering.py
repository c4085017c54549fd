"""Lowering to the CUDA target: what a process finds in its environment."""

from __future__ import annotations

from compiler.ir.machine import Cluster, EnvironmentVariable
from compiler.ir.openness import Auto


def environment(_: Cluster[Auto]) -> tuple[EnvironmentVariable, ...]:
    """Return the variables, sorted by name.

    One queue of work for each device keeps communication in the order in which Megatron issues it, which its
    tensor-parallel overlap needs; cuBLAS is given a fixed workspace, without which equal runs may differ.
    """
    values = {
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
        "CUDA_DEVICE_MAX_CONNECTIONS": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRANSFORMERS_OFFLINE": "1",
    }
    return tuple(EnvironmentVariable(name=name, value=value) for name, value in sorted(values.items()))
