"""What is under way behind a server: the task that advances the engine, pausing, aborting, and new weights.

All of it runs in one event loop: between two advances of the engine, requests come in, clients go, and weights change,
one after the other, so nothing here is locked.

Requests advance by themselves, except those of a generation in lockstep: these draw tokens only between a request of
their client for the next response and that response.  When responses end then follows from the requests alone, as
`RolloutEngine` demands, though a network is in between.  Where others advance meanwhile, it depends on them, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.server.jobs import Call, Finished, Job
from runtime.engines.rollout.server.refusals import not_now, not_ready
from runtime.engines.rollout.server.stepped import SteppedEngine

PauseMode = Literal["abort", "retract", "in_place"]
PAUSE_MODES: Final[tuple[PauseMode, ...]] = ("abort", "retract", "in_place")

# A label of fewer digits is the number of its version.
_DIGITS_MAX: Final = 18
# SGLang's name for weights that nobody has named.
UNNAMED: Final = "default"


@dataclass(kw_only=True, slots=True)
class Counters:
    """What has happened since the server began: prompts, and samples of them."""

    num_prompts: int = 0
    num_refused: int = 0
    num_finished: int = 0
    num_aborted: int = 0
    num_disconnected: int = 0
    num_failed: int = 0
    num_tokens: int = 0
    num_weight_updates: int = 0


class UnderWay:
    """The requests of all clients and the engine that answers them."""

    def __init__(self, engine: SteppedEngine) -> None:
        self._engine = engine
        self._calls: list[Call] = []
        self._by_rid: dict[str, Call] = {}
        self._has_work = asyncio.Event()
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._version: int | None = None
        self._labels: dict[int, str] = {}
        self.counters = Counters()

    async def advance_for_ever(self) -> None:
        """Advance the engine whenever there is something to do; the server cancels this when it ends."""
        try:
            while True:
                await self._has_work.wait()
                self._advance()
                await asyncio.sleep(0)
        finally:
            self.end()

    def end(self) -> None:
        """Tell all clients that nothing more will come."""
        for call in [*self._calls]:
            self._fail(call, not_ready("this server is ending", "ask another one"))

    def submit(self, jobs: Sequence[Job], lockstep: str) -> None:
        """Queue the jobs of one request, all or none.

        Raises: SpecError if one cannot be served, RefusalError RLC0726 for a name that is taken, RLC0727 without
        weights.
        """
        self._check_weights()
        for job in jobs:
            if job.rid in self._by_rid:
                raise not_now(f"a request with rid {job.rid[:60]!r} is under way", "give each request a rid of its own")
        self._engine.check([job.request for job in jobs])
        self.counters.num_prompts += len(jobs)
        if lockstep:
            found = [c for c in self._calls if c.lockstep == lockstep]
            self._place(found[0] if found else Call(self._engine, lockstep), jobs)
        else:
            for job in jobs:
                self._place(Call(self._engine), [job])
        self._note_work()

    async def next_in_lockstep(self, lockstep: str, *, patience_s: float) -> tuple[list[str], bool]:
        """Advance until responses of a generation are finished, and hand them out.

        Returns: what they are called, in the order in which they ended, and whether more are outstanding.
        Raises: SpecError if the policy's output is not a number.
        """
        call = next((c for c in self._calls if c.lockstep == lockstep), None)
        if call is None:
            return [], False
        clock = asyncio.get_running_loop().time
        deadline = clock() + patience_s
        while not call.is_over and clock() < deadline:
            if not self._goes_on.is_set():
                await asyncio.sleep(min(0.01, patience_s))
                continue
            try:
                ended = call.poll_all()
            except SpecError as fault:
                self._fail(call, fault)
                raise
            for finished in ended:
                self._deliver(finished)
            if ended:
                return [finished.id for finished in ended], not call.is_over
            self._advance()
            await asyncio.sleep(0)
        return [], not call.is_over

    def abort(self, rid: str) -> None:
        """Break off a request, or a generation in lockstep by its name; what there is of it is handed out.

        A name that is not under way changes nothing: it may have ended meanwhile.
        Raises: RefusalError RLC0726 for a single request of a generation in lockstep.
        """
        call = self._by_rid.get(rid)
        if call is not None and call.lockstep:
            raise not_now(
                f"request {rid[:60]!r} belongs to a generation in lockstep, which ends as a whole",
                f"abort {call.lockstep[:60]!r}",
            )
        # A body of several prompts has one name, and its prompts have that with their numbers.
        several = {id(c) for other, c in self._by_rid.items() if _is_of(other, rid)} if call is None else set[int]()
        for found in [
            c for c in self._calls if c is call or c.lockstep == rid or (not c.lockstep and id(c) in several)
        ]:
            self._abort(found)

    def abort_all(self) -> None:
        """Break off everything; what there is of it is handed out."""
        for call in [*self._calls]:
            self._abort(call)

    def drop(self, jobs: Iterable[Job]) -> None:
        """Break off what is outstanding of jobs whose client has gone; all of a generation in lockstep was its."""
        calls = {id(c): c for job in jobs if (c := self._by_rid.get(job.rid)) is not None and job in c.jobs}
        for call in calls.values():
            self.counters.num_disconnected += sum(len(job.waiting) for job in call.jobs)
            call.abort()
            self._remove(call)

    def pause(self, mode: PauseMode) -> None:
        """Draw no more tokens.  What is under way ends (abort), keeps its rows (in_place), or gives them up and goes on
        from its tokens later (retract); what comes now waits.
        """
        self._goes_on.clear()
        if mode == "abort":
            self.abort_all()
        elif mode == "retract":
            for call in [*self._calls]:
                for finished in call.retract():
                    self._deliver(finished)
        self._note_work()

    def go_on(self) -> None:
        """Draw again."""
        for call in self._calls:
            call.restore()
        self._goes_on.set()
        self._note_work()

    def load(self, tensors: Iterator[tuple[str, Tensor]], label: str | None) -> None:
        """Give the engine other weights; what is under way goes on with them.

        Args:
            label: the version that clients read; without one the name stays.

        Raises: SpecError if they do not fit; the engine then has none.
        """
        before = self._version
        # Never one of before: what was computed under it is of other weights, also where clients call them alike.
        named = int(label) if label is not None and label.isdecimal() and len(label) < _DIGITS_MAX else None
        version = max(self._labels, default=-1) + 1 if named is None or named in self._labels else named
        self._version = None
        try:
            self._engine.load_weights(tensors, version=version)
        except SpecError as fault:
            for call in [*self._calls]:
                self._fail(call, fault)
            raise
        self._labels[version] = label if label is not None else self.label(before)
        self._version = version
        self.counters.num_weight_updates += 1

    def rename_weights(self, label: str) -> None:
        """Call the weights otherwise.  Raises: RefusalError RLC0726 while tokens of theirs are under way."""
        self._check_weights()
        if self.num_outstanding:
            raise not_now("responses are under way, and carry the name that the weights have", "wait, or abort them")
        if self._version is not None:
            self._labels[self._version] = label

    def label(self, version: int | None) -> str:
        """Return what clients call a version."""
        return UNNAMED if version is None else self._labels.get(version, str(version))

    @property
    def weight_version(self) -> str:
        """What clients call the weights in use."""
        return self.label(self._version)

    @property
    def is_ready(self) -> bool:
        """Whether there are weights to generate with."""
        return self._version is not None

    @property
    def is_paused(self) -> bool:
        """Whether generation is paused."""
        return not self._goes_on.is_set()

    @property
    def num_outstanding(self) -> int:
        """Responses that are not finished."""
        return sum(len(job.waiting) for call in self._calls for job in call.jobs)

    def state(self) -> dict[str, object]:
        """Return counters and what is under way, for whoever watches the server."""
        return {**asdict(self.counters), "num_outstanding": self.num_outstanding, "is_paused": self.is_paused}

    def _check_weights(self) -> None:
        if self._version is None:
            raise not_ready("this server has no weights", "give it some: /update_weights_from_disk")

    def _place(self, call: Call, jobs: Sequence[Job]) -> None:
        if call not in self._calls:
            self._calls.append(call)
        self._by_rid.update((job.rid, call) for job in jobs)
        call.submit(jobs)

    def _advance(self) -> None:
        self._engine.advance()
        for call in [c for c in self._calls if not c.lockstep]:
            try:
                for finished in call.poll_all():
                    self._deliver(finished)
                call.tell_so_far()
            except SpecError as fault:
                self._fail(call, fault)

    def _deliver(self, finished: Finished) -> None:
        self.counters.num_tokens += len(finished.part.tokens)
        self.counters.num_aborted += finished.finish == "abort"
        self.counters.num_finished += finished.finish != "abort"
        job = finished.job
        job.outbox.put_nowait(finished)
        if job.waiting:
            return
        call = self._by_rid.pop(job.rid, None)
        if call is None:
            # The last responses of a job may have ended together.
            return
        call.forget(job)
        # A generation in lockstep may be given more, and ends when its client has read that nothing is left.
        if call.is_over:
            self._remove(call)

    def _abort(self, call: Call) -> None:
        for finished in call.abort():
            self._deliver(finished)
        self._remove(call)

    def _fail(self, call: Call, fault: SpecError) -> None:
        self.counters.num_failed += sum(len(job.waiting) for job in call.jobs)
        for job in call.jobs:
            job.outbox.put_nowait(fault)
        call.abort()
        self._remove(call)

    def _remove(self, call: Call) -> None:
        for job in call.jobs:
            self._by_rid.pop(job.rid, None)
        if call in self._calls:
            self._calls.remove(call)
        self._note_work()

    def _note_work(self) -> None:
        if self._goes_on.is_set() and any(not c.lockstep for c in self._calls):
            self._has_work.set()
        else:
            self._has_work.clear()


def _is_of(rid: str, body: str) -> bool:
    stem, _, number = rid.rpartition("_")
    return stem == body and number.isdecimal()
