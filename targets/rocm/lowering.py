"""Lowering to the ROCm target: what a process finds in its environment."""

from __future__ import annotations

from compiler.ir.machine import Cluster, EnvironmentVariable
from compiler.ir.openness import Auto


def environment(_: Cluster[Auto]) -> tuple[EnvironmentVariable, ...]:
    """Return the variables, beside those that all targets with GPUs have.

    Kernel arguments stay in device memory, scratch memory is not given back between kernels, and Ray is kept from
    hiding devices that the plan has assigned: what slime's and SGLang's images for AMD set.
    """
    values = {
        "HIP_FORCE_DEV_KERNARG": "1",
        "HSA_NO_SCRATCH_RECLAIM": "1",
        "NCCL_MIN_NCHANNELS": "112",
        "RAY_EXPERIMENTAL_NOSET_HIP_VISIBLE_DEVICES": "1",
    }
    return tuple(EnvironmentVariable(name=name, value=value) for name, value in values.items())
