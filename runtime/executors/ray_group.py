"""The ranks of what is trained, called together by the driver."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from compiler.diagnostics.diagnostic import SpecError
from runtime.checkpoint.parts import Part
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.executors.rank import Role
from runtime.executors.ray_actor import Actor, answers_of_all
from runtime.executors.waits import Waits

_POLL_S: Final = 0.05
# What weights are others after.
_CHANGES: Final = frozenset(("begin", "load_state", "step"))

if TYPE_CHECKING:
    from threading import Lock

    from torch import Tensor

    from stdlib.samples import TrainBatch


class RankGroup:
    """The ranks of a role, called together; what rank 0 answers counts.

    Implements runtime.protocols.Trainer, Scorer and Critic: a method that the ranks' class lacks is never called.
    """

    def __init__(self, ranks: Sequence[Actor], role: Role, waits: Waits, asking: Lock) -> None:
        """Make one; `asking` is held while ranks are asked, so that all of them are asked in one order."""
        self._ranks, self._role, self._waits, self._asking = ranks, role, waits, asking
        self._num_changes = 0
        self._sent: tuple[int, int] | None = None  # the version, and the changes before it

    def begin(self, stage_index: int, weights: Mapping[str, Tensor]) -> None:
        """Build what a stage trains.  Raises: as `Actor.answer`."""
        self._all("begin", "do", "begin", (stage_index, self._role, weights), {}, answers=False)

    def send_weights(self, places: Mapping[int, ServerPlace], version: int, *, verify: bool) -> Mapping[int, SpecError]:
        """Have the engines given the weights, and return the errors of those that are gone.  Raises: `Actor.answer`."""
        named = {"version": version, "verify": verify}
        self._sent = version, self._num_changes
        return self._all("send_weights", "do", "send_weights", (places,), named, answers=None)

    def resend_weights(self, places: Mapping[int, ServerPlace]) -> tuple[int, Mapping[int, SpecError]] | None:
        """Give engines that were started anew what was sent last; None where the ranks have changed it since.

        May be called by another thread than the others.  Raises: as `send_weights`.
        """
        with self._asking:
            if self._sent is None or self._sent[1] != self._num_changes:
                return None
            version = self._sent[0]
            promises = self._begun("do", "send_weights", (places,), {"version": version, "verify": False}, answers=None)
        wait = self._waits.of("send_weights")
        return version, answers_of_all(self._ranks, promises, wait, asked="send_weights")[0]

    def save_begins(self, folder: Path) -> None:
        """Have every rank write its part of a checkpoint.  Raises: as `Actor.answer`."""
        self._all("save_begins", "do", "save_begins", (self._role, str(folder)), {}, answers=False)

    def save_ends(self) -> list[Part]:
        """Return what the ranks have written, once they have; another thread may ask.  Raises: as `Actor.answer`."""
        parts: list[Part] = []
        wait = self._waits.of("save_ended")
        for rank in self._ranks:
            found: list[Part] | None = None
            while found is None:
                promise = rank.begins("do", "save_ended", (self._role,), {}, answers=True)
                (found,) = answers_of_all((rank,), (promise,), wait, asked="save_ended")
                if found is None:
                    time.sleep(_POLL_S)
            parts += found
        return parts

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step."""
        return self._call("step", batch)

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Return [T] float32 log-probs."""
        return self._call("logprobs", batch, of=of)

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Return the batch with old log-probs."""
        return self._call("with_old_logprobs", batch)

    def values(self, batch: TrainBatch) -> Tensor:
        """Return [T] float32 values."""
        return self._call("values", batch)

    def scores(self, batch: TrainBatch) -> Tensor:
        """Return [N] float32 scores."""
        return self._call("scores", batch)

    def refresh_reference(self) -> None:
        """Let the reference take over the policy's weights."""
        self._call("refresh_reference")

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights.  They cross to this process: what sends them to engines is `send_weights`."""
        state: dict[str, Tensor] = self._call("state")
        yield from ((n.removeprefix("model."), t) for n, t in state.items() if n.startswith("model."))

    def state(self) -> dict[str, Tensor]:
        """Return all that a continued run needs."""
        return self._call("state")

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned; of stored tensors only where they are is sent."""
        self._call("load_state", state)

    def _call(self, method: str, batch: object = None, **named: Any) -> Any:
        import ray

        given = batch if batch is None else ray.put(batch)
        return self._all(method, "train", self._role, method, given, named, answers=None)

    def _all(self, asked: str, method: str, *arguments: Any, answers: bool | None) -> Any:
        """Call every rank; `answers` None for an answer of the first one alone."""
        with self._asking:
            self._num_changes += asked in _CHANGES
            promises = self._begun(method, *arguments, answers=answers)
        return answers_of_all(self._ranks, promises, self._waits.of(asked), asked=asked)[0]

    def _begun(self, method: str, *arguments: Any, answers: bool | None) -> list[Any]:
        return [
            rank.begins(method, *arguments, answers=number == 0 if answers is None else answers)
            for number, rank in enumerate(self._ranks)
        ]
