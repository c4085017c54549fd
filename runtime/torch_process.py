"""How a process that computes with torch is set up: threads, determinism, and what becomes of freed memory."""

from __future__ import annotations

import ctypes
from contextlib import suppress
from typing import Any, Final

import torch

# Parameters of glibc's mallopt (malloc.h).
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MIB: Final = 1 << 20


def set_up_torch(*, cpu_threads: int) -> None:
    """Use that many threads and only deterministic operations, and keep freed memory for the next tensor.

    A training step makes and frees hundreds of tensors of a few MiB.  Given back to the system, each costs a page fault
    for every 4 KiB when its successor is first written: a tenth of a step of a small model.  Kept, the process stays as
    large as its largest moment.  Deterministic operations would also fill every new tensor with NaN first, to make
    reads of what was never written show; nothing here reads such, and a step writes its memory once less.
    """
    torch.set_num_threads(cpu_threads)
    torch.use_deterministic_algorithms(True)
    deterministic: Any = torch.utils.deterministic
    deterministic.fill_uninitialized_memory = False
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    # Other C libraries than glibc have no mallopt, and do without.
    with suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, size in ((_MMAP_THRESHOLD, 256 * _MIB), (_TRIM_THRESHOLD, 1024 * _MIB), (_TOP_PAD, 64 * _MIB)):
            mallopt(parameter, size)
