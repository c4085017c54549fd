"""Whether machines reach one another: each listens at a port, each of the others connects, and all add a number up.

A machine's words are sent to whoever connects, so that whoever answers in its place, as a proxy does, is found out.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Final, NamedTuple

_CONNECT_S: Final = 5.0
_AT_ONCE: Final = 32


class Door(NamedTuple):
    """Where machine `node` listens, and what it says there."""

    node: int
    address: str
    port: int
    words: str


class Doorkeeper:
    """Listens at an address from the making of this until `close`.

    Args:
        ports: those that are tried first, as what lies between machines may let only a plan's ports through.

    Raises: OSError if the address is not one of this machine's.
    """

    def __init__(self, node: int, address: str, ports: Sequence[int]) -> None:
        self._listening = _listening(address, ports)
        self.door = Door(node, address, self._listening.getsockname()[1], secrets.token_hex(16))
        threading.Thread(target=self._answer, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _answer(self) -> None:
        words = self.door.words.encode()
        while True:
            try:
                visitor, _ = self._listening.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), visitor:
                visitor.sendall(words)


def unreached(doors: Sequence[Door]) -> list[tuple[Door, str]]:
    """Return the doors that cannot be reached from this machine, in order, and why."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        whys = list(pool.map(_why_not, doors))
    return [(door, why) for door, why in zip(doors, whys, strict=True) if why]


def free_port(address: str) -> int:
    """Return a port of an address of this machine that nobody listens at now."""
    with contextlib.closing(_listening(address, ())) as listening:
        return int(listening.getsockname()[1])


def add_up(address: str, port: int, *, rank: int, num_ranks: int, timeout_s: float) -> str:
    """Sum a number over all machines with gloo, and return why that failed, or nothing.

    Args:
        address: of machine 0, and `port` a free one of it.
    """
    import torch
    from torch import distributed

    timeout = timedelta(seconds=timeout_s)
    try:
        distributed.init_process_group(
            "gloo", init_method=f"tcp://{address}:{port}", rank=rank, world_size=num_ranks, timeout=timeout
        )
        number = torch.tensor([rank + 1.0])
        distributed.all_reduce(number)
        distributed.barrier()
        distributed.destroy_process_group()
    except (RuntimeError, ValueError) as fault:
        return str(fault).strip().partition("\n")[0][:300]
    wanted = num_ranks * (num_ranks + 1) / 2
    return "" if number.item() == wanted else f"the sum is {number.item():g} and not {wanted:g}"


def _why_not(door: Door) -> str:
    try:
        with socket.create_connection((door.address, door.port), timeout=_CONNECT_S) as visited:
            visited.settimeout(_CONNECT_S)
            said = b"".join(_said(visited, len(door.words)))
    except OSError as fault:
        return str(fault.strerror or fault)
    return "" if said == door.words.encode() else "somebody else answers there"


def _said(visited: socket.socket, most: int) -> Iterator[bytes]:
    late = time.monotonic() + _CONNECT_S
    while most > 0 and time.monotonic() < late and (part := visited.recv(most)):
        most -= len(part)
        yield part


def _listening(address: str, ports: Sequence[int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    for port in (*ports, 0):
        with contextlib.ExitStack() as otherwise:
            listening = otherwise.enter_context(socket.socket(family, socket.SOCK_STREAM))
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listening.bind((address, port))
                listening.listen(_AT_ONCE * 4)
            except OSError:
                if port:
                    continue
                raise
            otherwise.pop_all()
            return listening
    raise OSError("no port is free")
