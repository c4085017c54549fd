"""A group of processes over which weights are broadcast, from the trainer, which is rank 0, to engines: gloo on CPU.

It is found as SGLang's is: the trainer opens a store at an address and a port, and everybody looks there below the name
of the group.  It is no group of `torch.distributed`'s own table, so a trainer may have others beside it.

A store has no password: whoever reaches its port may join in the place of another.  It listens at the address that it
is given and at no other.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any, Final

import torch
from torch import Tensor
from torch.distributed import PrefixStore, ProcessGroupGloo, TCPStore

DTYPES: Final = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16", "float64")}


def open_store(address: str, *, timeout_s: float) -> TCPStore:
    """Return a store that listens at a free port of an address.  Raises: OSError for an address that is not ours."""
    listener = socket.create_server((address, 0))
    port = listener.getsockname()[1]
    return TCPStore(
        address,
        port,
        is_master=True,
        timeout=timedelta(seconds=timeout_s),
        wait_for_workers=False,
        master_listen_fd=listener.detach(),
    )


def found_store(address: str, port: int, *, world_size: int, timeout_s: float) -> TCPStore:
    """Return the store that another process has opened, and that may wait for all of us to find it.

    Raises: RuntimeError if there is none.
    """
    return TCPStore(address, port, world_size, timeout=timedelta(seconds=timeout_s))


class WeightGroup:
    """One member of a group; making it waits for all others.

    Args:
        address: of this machine, that the others reach it by.
        timeout_s: longest wait for the others, and for one tensor.

    Raises: RuntimeError if the others do not come in time.
    """

    def __init__(
        self, store: TCPStore, *, address: str, rank: int, world_size: int, name: str, timeout_s: float
    ) -> None:
        # The prefixes are those that torch.distributed gives to a group of this name in a store of its own.
        below = PrefixStore("cpu/", PrefixStore(f"{name}/", PrefixStore(name, store)))
        # Its stubs leave out its options and its collectives.
        gloo: Any = ProcessGroupGloo
        options = gloo._Options()
        options._timeout = self._timeout = timedelta(seconds=timeout_s)
        options._devices = [gloo.create_device(hostname=address)]
        self._store = store
        self._group = gloo(below, rank, world_size, options)

    def send(self, tensors: Iterable[Tensor]) -> None:
        """Broadcast tensors to all others.  Raises: RuntimeError if one of them is gone, or does not take them."""
        for tensor in tensors:
            self._broadcast(tensor.detach().contiguous())

    def receive(self, shapes: Sequence[tuple[torch.dtype, Sequence[int]]]) -> list[Tensor]:
        """Return what rank 0 broadcasts.  Raises: RuntimeError if it is gone, sends nothing, or other sizes."""
        tensors = [torch.empty(list(shape), dtype=dtype) for dtype, shape in shapes]
        for tensor in tensors:
            self._broadcast(tensor)
        return tensors

    def _broadcast(self, tensor: Tensor) -> None:
        self._group.broadcast(tensor, 0).wait(self._timeout)
