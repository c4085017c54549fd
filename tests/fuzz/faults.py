"""What was found wrong with an input: what kind of fault it is, where, and the input made small."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from tests.fuzz.limits import HangError, limited
from tests.fuzz.target import Target

_PROJECT = Path(__file__).parents[2]
_MOST_TRIES = 2_000


class Fault(NamedTuple):
    """An exception: its kind, the innermost place of ours that it passed, and all there is to print."""

    kind: str
    place: str
    report: str

    @property
    def signature(self) -> str:
        """The name by which two inputs with the same fault are one finding."""
        return f"{self.kind}-{self.place}".replace("/", "_").replace(":", "-")


def fault_of(target: Target, data: bytes, *, patience: float = 1.0) -> Fault | None:
    """Return what is wrong with an input, or None.

    Args:
        patience: how many times longer than usual it may take.
    """
    watch = _Watch()
    with watch, limited(target.cpu_s * patience):
        target.check(data)
    return None if watch.error is None else _fault(watch.error)


def made_small(target: Target, data: bytes, fault: Fault) -> bytes:
    """Return a smaller input with the same fault: lines are left out, then bytes, while it stays."""
    tries = 0
    for split in (b"\n", b""):
        parts = data.splitlines(keepends=True) if split else [data[at : at + 1] for at in range(len(data))]
        size = max(1, len(parts) // 2)
        while size and tries < _MOST_TRIES:
            at = 0
            while at < len(parts) and tries < _MOST_TRIES:
                rest = parts[:at] + parts[at + size :]
                tries += 1
                found = fault_of(target, b"".join(rest))
                if found is not None and found.signature == fault.signature:
                    parts = rest
                else:
                    at += size
            size //= 2
        data = b"".join(parts)
    return data


class _Watch:
    """Keeps what a block raises: here every exception ends, whatever it is, but that of a person who interrupts."""

    def __init__(self) -> None:
        self.error: BaseException | None = None

    def __enter__(self) -> None:
        self.error = None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> bool:
        self.error = error
        return error is not None and isinstance(error, (Exception, HangError))


def _fault(error: BaseException) -> Fault:
    place = "outside"
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if path.is_relative_to(_PROJECT) and ".venv" not in path.parts:
            place = f"{path.relative_to(_PROJECT)}:{frame.lineno}"
    return Fault(type(error).__name__, place, "".join(traceback.format_exception(error)))
