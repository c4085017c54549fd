"""The ranks of what is trained, called together by the driver."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.executors.rank import Role
from runtime.executors.ray_actor import Actor, answers_of_all
from runtime.executors.waits import Waits

if TYPE_CHECKING:
    from torch import Tensor

    from stdlib.samples import TrainBatch


class RankGroup:
    """The ranks of a role, called together; what rank 0 answers counts.

    Implements runtime.protocols.Trainer, Scorer and Critic: a method that the ranks' class lacks is never called.
    """

    def __init__(self, ranks: Sequence[Actor], role: Role, waits: Waits) -> None:
        self._ranks, self._role, self._waits = ranks, role, waits

    def begin(self, stage_index: int, weights: Mapping[str, Tensor]) -> None:
        """Build what a stage trains.  Raises: as `Actor.answer`."""
        self._all("begin", "do", "begin", (stage_index, self._role, weights), {}, answers=False)

    def send_weights(self, places: Mapping[int, ServerPlace], version: int, *, verify: bool) -> Mapping[int, SpecError]:
        """Have the engines given the weights, and return the errors of those that are gone.  Raises: `Actor.answer`."""
        named = {"version": version, "verify": verify}
        return self._all("send_weights", "do", "send_weights", (places,), named, answers=None)

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
        promises = []
        for number, rank in enumerate(self._ranks):
            promises.append(rank.begins(method, *arguments, answers=number == 0 if answers is None else answers))
        return answers_of_all(self._ranks, promises, self._waits.of(asked), asked=asked)[0]
