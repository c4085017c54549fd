"""Functions run on several ranks: processes of this machine that meet in torch.distributed over gloo.

A pool keeps its ranks from one case to the next.  All are forked from one process that has torch loaded, so importing
it is paid once; the process group of a case is made before it and destroyed after it.  A case that hangs ends with the
stack of every rank.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, Listener, wait
from pathlib import Path
from typing import Any, Protocol

from tests.support.processes import ROOT

TIMEOUT_S = 90.0
_GRACE_S = 3.0  # for the other ranks, once one has failed


class RunRanks(Protocol):
    """What the fixture `run_ranks` gives to tests: see RankPool.run."""

    def __call__(
        self, num_ranks: int, function: Callable[..., Any], *args: Any, timeout_s: float = TIMEOUT_S
    ) -> list[Any]: ...


class RanksFailedError(AssertionError):
    """At least one rank failed; what each of them did is in the message.

    `errors` has what ranks raised, by rank; of one that hung, or died, a text.
    """

    def __init__(self, texts: Mapping[int, str], errors: Mapping[int, BaseException | str]) -> None:
        super().__init__("\n".join(f"-- rank {rank}\n{text}" for rank, text in sorted(texts.items())))
        self.errors = errors


class RankPool:
    """Ranks of one machine.

    Args:
        folder: of its own; where ranks meet, and leave the stacks of a hang.
        preload: modules that are imported before ranks are forked, beside torch.distributed.
        python: the interpreter, of another environment where an engine needs one.
    """

    def __init__(self, folder: Path, *, preload: Sequence[str] = (), python: str = sys.executable) -> None:
        self._folder, self._preload, self._python = folder, tuple(preload), python
        self._stem: subprocess.Popen[str] | None = None
        self._listener: Listener | None = None
        self._socket: tempfile.TemporaryDirectory[str] | None = None
        self._ranks: dict[int, Connection[bytes, bytes]] = {}
        self._pids: dict[int, int] = {}
        self._num_cases = 0

    def run(self, num_ranks: int, function: Callable[..., Any], *args: Any, timeout_s: float = TIMEOUT_S) -> list[Any]:
        """Return what `function(*args)` returns on each rank, within a process group of `num_ranks`.

        The function is one of a module, args and results can be pickled.

        Raises: RanksFailedError if a rank raises, dies, or has no result within the timeout.
        """
        self._num_cases += 1
        meeting = self._folder / f"group-{self._num_cases}"
        ranks = [self._rank(at) for at in range(num_ranks)]
        for at, rank in enumerate(ranks):
            rank.send_bytes(pickle.dumps((str(meeting), at, num_ranks, timeout_s, function, args)))
        found = self._answers(ranks, timeout_s)
        if all(answer is not None and answer[0] == "returned" for answer in found):
            return [answer[1] for answer in found if answer is not None]
        texts = {at: _text(answer) or self._stack_of(at) for at, answer in enumerate(found)}
        errors = {at: texts[at] if answer is None else answer[1] for at, answer in enumerate(found)}
        self._end_ranks()
        raise RanksFailedError(texts, {at: error for at, error in errors.items() if not _is_fine(found[at])})

    def close(self) -> None:
        """End all processes."""
        self._end_ranks()
        if self._stem is not None:
            self._stem.kill()
            self._stem.communicate()
            self._stem = None
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._socket is not None:
            self._socket.cleanup()
            self._socket = None

    def _end_ranks(self) -> None:
        """End the ranks; those of the next case are forked anew."""
        for pid in self._pids.values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for rank in self._ranks.values():
            rank.close()
        self._ranks.clear()
        self._pids.clear()

    def _rank(self, at: int) -> Connection[bytes, bytes]:
        if at not in self._ranks:
            stem, listener = self._started()
            assert stem.stdin is not None
            stem.stdin.write(f"{at}\n")
            stem.stdin.flush()
            self._ranks[at] = listener.accept()
            self._pids[at] = pickle.loads(self._ranks[at].recv_bytes())
        return self._ranks[at]

    def _started(self) -> tuple[subprocess.Popen[str], Listener]:
        if self._stem is None or self._listener is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._socket = tempfile.TemporaryDirectory(prefix="rlc-")  # the path of a socket has to be short
            address = f"{self._socket.name}/ranks"
            self._listener = Listener(address, "AF_UNIX", backlog=16)
            words = [self._python, "-m", "tests.support.rank_process", address, str(self._folder), *self._preload]
            command = ["env", "GLOO_SOCKET_IFNAME=lo", "OMP_NUM_THREADS=1", *words]
            self._stem = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, text=True)
        return self._stem, self._listener

    def _answers(
        self, ranks: Sequence[Connection[bytes, bytes]], timeout_s: float
    ) -> list[tuple[str, Any, str] | None]:
        """Return of each rank how it went, or None where it did not come to an end."""
        found: list[tuple[str, Any, str] | None] = [None] * len(ranks)
        outstanding = {id(rank): (at, rank) for at, rank in enumerate(ranks)}
        deadline = time.monotonic() + timeout_s
        while outstanding and (left_s := deadline - time.monotonic()) > 0:
            for ready in wait([rank for _, rank in outstanding.values()], timeout=left_s):
                at, rank = outstanding.pop(id(ready))
                try:
                    found[at] = pickle.loads(rank.recv_bytes())
                except (EOFError, ConnectionResetError):
                    found[at] = ("died", "died", "the process died")
                if not _is_fine(found[at]):
                    deadline = min(deadline, time.monotonic() + _GRACE_S)
        return found

    def _stack_of(self, at: int) -> str:
        """Return where a rank that hangs is."""
        place = self._folder / f"stack-{self._pids[at]}"
        with suppress(ProcessLookupError):
            os.kill(self._pids[at], signal.SIGUSR1)
        until = time.monotonic() + _GRACE_S
        while time.monotonic() < until and not (place.exists() and place.read_text().strip()):
            time.sleep(0.01)
        time.sleep(0.05)
        return f"came to no end; it is here:\n{place.read_text() if place.exists() else '(it does not say)'}"


@contextmanager
def rank_pool(folder: Path, *, preload: Sequence[str] = ()) -> Iterator[RankPool]:
    """Yield a pool, and end its processes."""
    pool = RankPool(folder, preload=preload)
    try:
        yield pool
    finally:
        pool.close()


def _is_fine(answer: tuple[str, Any, str] | None) -> bool:
    return answer is not None and answer[0] == "returned"


def _text(answer: tuple[str, Any, str] | None) -> str:
    return "" if answer is None else answer[2]
