"""One process of a run on Ray, as the driver sees it: asked, waited for as long as the plan says, and ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.executors.waits import Wait

_LAST_LINES: Final = 3
# Ranks that wait for one that is gone find out soon after, each in a way of its own.
_GRACE_S: Final = 5.0
_GONE: Final = "RLC0762"
_BROKEN: Final = "RLC0763"
_SILENT: Final = "RLC0764"


class Place(NamedTuple):
    """Where an actor is: its place in the plan, and its machine by number and address."""

    path: str
    node: int
    address: str

    def __str__(self) -> str:
        """Say both."""
        return f"{self.path}, node {self.node} at {self.address}"


class Actor:
    """One process: what it is called, and how it is asked."""

    def __init__(self, kind: Any, name: str, place: Place, *, log: Path, options: Mapping[str, Any]) -> None:
        self.name, self.place, self.log = name, place, log
        import ray

        self._handle = ray.remote(kind).options(**options).remote(str(log))

    def begins(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Ask for something, and return what stands for its answer."""
        return getattr(self._handle, method).remote(*arguments, **named)

    def end(self) -> None:
        """End the process."""
        import ray

        ray.kill(self._handle)

    def answer(self, promise: Any, wait: Wait, *, asked: str) -> Any:
        """Return what was asked for.

        Raises: SpecError with the faults that the process found, RLC0762 if it is gone, RLC0763 if it broke, RLC0764
        if it does not answer in time.
        """
        import ray
        from ray.exceptions import GetTimeoutError, RayActorError, RayTaskError

        try:
            return ray.get(promise, timeout=wait.seconds)
        except GetTimeoutError as fault:
            raise SpecError(self._silent(wait, asked)) from fault
        except RayActorError as fault:
            raise SpecError(self._gone(fault)) from fault
        except RayTaskError as fault:
            if isinstance(fault.cause, SpecError):
                raise fault.cause from fault
            raise SpecError(self._broken(str(fault))) from fault

    def _silent(self, wait: Wait, asked: str) -> Diagnostic:
        seconds = wait.limit_s
        ways = [Help(f"what it did last is in {self.log}")]
        if wait.path:
            ways.append(Help("if it is only slow, wait longer", sets=((wait.path, f"{2 * seconds:g}"),)))
        fact = f"{self.name} ({self.place}) did not answer {asked} within {seconds:g} s{self._last_words()}"
        return Diagnostic(_SILENT, fact, help=tuple(ways), paths=(self.place.path, *([wait.path] if wait.path else [])))

    def _gone(self, fault: Exception) -> Diagnostic:
        said = " ".join(str(fault).split())[:300]
        ways = (Help(f"its last words are in {self.log}"), Help("run again: the run goes on from its last checkpoint"))
        fact = f"{self.name} ({self.place}) is gone: {said}{self._last_words()}"
        return Diagnostic(_GONE, fact, help=ways, paths=(self.place.path,))

    def _last_words(self) -> str:
        """What the process wrote last, where it wrote anything."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        except OSError:
            return ""
        return "".join(f"; {line[:200]}" for line in lines[-_LAST_LINES:])

    def _broken(self, trace: str) -> Diagnostic:
        lines = trace.strip().splitlines()
        ways = (Help(f"the whole of it is in {self.log}"),)
        at = next((line.strip() for line in reversed(lines) if line.strip().startswith("File ")), "")
        fact = f"{self.name} ({self.place}) broke: {lines[-1]}{f', at {at}' if at else ''}"
        return Diagnostic(_BROKEN, fact, help=ways, paths=(self.place.path,))


def answers_of_all(actors: Sequence[Actor], promises: Sequence[Any], wait: Wait, *, asked: str) -> list[Any]:
    """Return what each actor was asked for.

    Raises: as `Actor.answer`.  Where several failed, the cause comes before what it brought about: one that is gone
    before those that found their peer missing; one that is silent before those that waited for it in vain; and a fault
    that an actor understood before one that it did not.
    """
    import ray

    started = time.monotonic()
    deadline = None if wait.seconds is None else started + wait.seconds
    waiting, faults = list(promises), dict[int, SpecError]()
    found: dict[int, Any] = {}
    while waiting:
        left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
        ended, silent = ray.wait(waiting, timeout=_GRACE_S if faults else left_s)
        if not ended and any(not _waited_in_vain(fault) for fault in faults.values()):
            break  # they wait for the one that failed
        if not ended:
            # Where others have waited in vain, what they waited is over, and not what the plan gives to this call.
            so_far_s = round(time.monotonic() - started)
            wait = Wait(0.0, "", so_far_s) if faults else Wait(0.0, wait.path, wait.limit_s)
        for promise in ended or silent:
            number = promises.index(promise)
            try:
                found[number] = actors[number].answer(promise, wait, asked=asked)
            except SpecError as fault:
                faults[number] = fault
        waiting = silent if ended else []
    if faults:
        raise min(faults.items(), key=lambda item: (_order_of(item[1]), item[0]))[1]
    return [found[number] for number in range(len(promises))]


def _order_of(fault: SpecError) -> int:
    """Return how late an error comes among those of one call."""
    if _waited_in_vain(fault):
        return 4
    return {_GONE: 0, _BROKEN: 2, _SILENT: 3}.get(fault.diagnostics[0].code, 1)


def _waited_in_vain(fault: SpecError) -> bool:
    """Whether an actor broke because a collective operation of torch.distributed ended without another one."""
    found = fault.diagnostics[0]
    return found.code == _BROKEN and ("Timed out waiting" in found.message or "Connection closed" in found.message)
