"""What tests/support/ranks.py starts: one process that has torch loaded, and the ranks that it forks.

    python -m tests.support.rank_process ADDRESS FOLDER MODULES...

For each line of its input it forks a rank, which connects to the address.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import pickle
import signal
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from importlib import import_module
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any

_DIE_WITH_THE_PARENT = 1  # PR_SET_PDEATHSIG


def main() -> None:
    """Load torch, and fork ranks."""
    address, folder, *preload = sys.argv[1:]
    _ends_with_its_parent()
    for name in ("torch.distributed.fsdp", "torch.distributed.tensor.parallel", *preload):
        import_module(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for _ in sys.stdin:
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _ends_with_its_parent()
            _serve(address, Path(folder))
            os._exit(0)


def _serve(address: str, folder: Path) -> None:
    """Run one function after another until nobody asks any more."""
    place = folder / f"stack-{os.getpid()}"
    # In a thread of its own, whose future has what was raised, of whatever kind.
    with Client(address, "AF_UNIX") as parent, place.open("w") as stack, ThreadPoolExecutor(1) as thread:
        faulthandler.register(signal.SIGUSR1, file=stack, all_threads=True)
        parent.send_bytes(pickle.dumps(os.getpid()))
        while True:
            try:
                asked = parent.recv_bytes()
            except (EOFError, ConnectionResetError):
                return
            parent.send_bytes(_answer(asked, thread))


def _answer(asked: bytes, thread: ThreadPoolExecutor) -> bytes:
    """Return how it went, the result or what was raised, and a text."""
    future = thread.submit(_result, *pickle.loads(asked))
    error = future.exception()
    if error is None:
        return pickle.dumps(("returned", future.result(), "returned"))
    text = "".join(traceback.format_exception(error))
    try:
        found = pickle.dumps(("raised", error, text))
        pickle.loads(found)
    except (pickle.PicklingError, TypeError, AttributeError):  # what cannot be sent is told
        return pickle.dumps(("raised", text, text))
    return found


def _result(meeting: str, rank: int, num_ranks: int, timeout_s: float, function: Any, args: tuple[Any, ...]) -> Any:
    distributed = import_module("torch.distributed")
    distributed.init_process_group(
        "gloo",
        store=distributed.FileStore(meeting, num_ranks),
        rank=rank,
        world_size=num_ranks,
        timeout=timedelta(seconds=timeout_s * 2),
    )
    try:
        return function(*args)
    finally:
        distributed.destroy_process_group()


def _ends_with_its_parent() -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_THE_PARENT, signal.SIGKILL)


if __name__ == "__main__":
    main()
