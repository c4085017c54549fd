"""The Ray executor: what a stage trains and what generates, each in processes of its own, which the driver calls.

Who sits where is the plan's placement.  The classes in the processes are those of the inline executor, and an engine is
asked over HTTP as any server is: results equal those of one process bit by bit.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.loss import ScoreLoss
from runtime import environ
from runtime.checkpoint.parts import Part
from runtime.checkpoint.store import CheckpointStore
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.executors.inline import (
    Actors,
    Learners,
    algorithm_of,
    build_reward,
    build_set_rewards,
    has_critic,
    samples,
)
from runtime.executors.rank import Role
from runtime.executors.ray_cluster import Node, RayCluster
from runtime.executors.ray_placement import Places
from runtime.executors.ray_shells import EngineShell, RankShell
from runtime.executors.served_engine import recorded_layers
from runtime.weights.stored import StoredTensors

if TYPE_CHECKING:
    from torch import Tensor

    from stdlib.samples import TrainBatch

_START_S: Final = 300.0
_ANSWER_S: Final = 600.0
_SILENCE_S: Final = 30.0
_ATTEMPTS: Final = 4
_LAST_LINES: Final = 3
_POLL_S: Final = 0.05


class Actor:
    """One process: what it is called, and how it is asked."""

    def __init__(self, kind: Any, name: str, path: str, *, log: Path, options: Mapping[str, Any]) -> None:
        self.name, self._path = name, path
        self.log = log
        import ray

        self._handle = ray.remote(kind).options(**options).remote(str(log))

    def begins(self, method: str, *arguments: Any, **named: Any) -> Any:
        """Ask for something, and return what stands for its answer."""
        return getattr(self._handle, method).remote(*arguments, **named)

    def end(self) -> None:
        """End the process."""
        import ray

        ray.kill(self._handle)

    def answer(self, promise: Any) -> Any:
        """Return what was asked for.

        Raises: SpecError with the faults that the process found, RLC0762 if it is gone, RLC0763 if it broke.
        """
        import ray
        from ray.exceptions import RayActorError, RayTaskError

        try:
            return ray.get(promise)
        except RayActorError as fault:
            raise SpecError(self._gone(fault)) from fault
        except RayTaskError as fault:
            if isinstance(fault.cause, SpecError):
                raise fault.cause from fault
            raise SpecError(self._broken(fault.traceback_str)) from fault

    def _gone(self, fault: Exception) -> Diagnostic:
        said = " ".join(str(fault).split())[:300]
        ways = (Help(f"its last words are in {self.log}"), Help("run again: the run goes on from its last checkpoint"))
        fact = f"{self.name} ({self._path}) is gone: {said}{self._last_words()}"
        return Diagnostic("RLC0762", fact, help=ways, paths=(self._path,))

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
        fact = f"{self.name} ({self._path}) broke: {lines[-1]}{f', at {at}' if at else ''}"
        return Diagnostic("RLC0763", fact, help=ways, paths=(self._path,))


class RankGroup:
    """The ranks of a role, called together; what rank 0 answers counts.

    Implements runtime.protocols.Trainer, Scorer and Critic: a method that the ranks' class lacks is never called.
    """

    def __init__(self, ranks: Sequence[Actor]) -> None:
        self._ranks = ranks

    def open(self, experiment: Experiment[Never], *, root: Path) -> None:
        """Make the ranks.  Raises: as `Actor.answer`."""
        self._all("open", experiment, str(root), None)

    def begin(self, stage_index: int, role: Role, weights: Mapping[str, Tensor]) -> None:
        """Build what a stage trains.  Raises: as `Actor.answer`."""
        self._all("do", "begin", (stage_index, role, weights), {}, answers=False)

    def send_weights(self, places: Sequence[ServerPlace], version: int, *, verify: bool) -> None:
        """Have the engines given the weights.  Raises: as `Actor.answer`."""
        self._all("do", "send_weights", (places,), {"version": version, "verify": verify}, answers=False)

    def save_begins(self, folder: Path) -> None:
        """Have every rank write its part of a checkpoint.  Raises: as `Actor.answer`."""
        self._all("do", "save_begins", (str(folder),), {}, answers=False)

    def save_ends(self) -> list[Part]:
        """Return what the ranks have written, once they have.  Raises: as `Actor.answer`."""
        parts: list[Part] = []
        for rank in self._ranks:
            while (found := rank.answer(rank.begins("do", "save_ended", (), {}, answers=True))) is None:
                time.sleep(_POLL_S)
            parts += found
        return parts

    def end(self) -> None:
        """End the processes."""
        for rank in self._ranks:
            rank.end()

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

        return self._all("train", method, batch if batch is None else ray.put(batch), named, answers=None)

    def _all(self, method: str, *arguments: Any, **named: Any) -> Any:
        promises = []
        for number, rank in enumerate(self._ranks):
            given = {name: number == 0 if value is None else value for name, value in named.items()}
            promises.append(rank.begins(method, *arguments, **given))
        answers = [rank.answer(promise) for rank, promise in zip(self._ranks, promises, strict=True)]
        return answers[0]


class RayExecutor:
    """Builds the actors of each stage; their processes live as long as the run.

    Raises: SpecError RLC0760 if there is no cluster.
    """

    def __init__(self, experiment: Experiment[Never], *, root: Path, run_dir: Path) -> None:
        self._experiment, self._root, self._run_dir = experiment, root, run_dir
        self._token = secrets.token_urlsafe(32)
        self._groups: dict[Role, RankGroup] = {}
        self._engine: Actor | None = None
        self._client: SGLangEngine | None = None
        self._cluster: RayCluster | None = None
        self._places: Places | None = None

    def start(self, read: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Return tensors that the ranks read themselves."""
        return StoredTensors(read)

    def handed_on(self, actors: Actors, store: CheckpointStore) -> Mapping[str, Tensor]:
        """Return the weights that the next stage starts from: they are in the checkpoint at the end of this one."""
        checkpoint = store.latest_valid().checkpoint
        if checkpoint is None:
            raise InternalError("a stage ends with a checkpoint")
        return StoredTensors(checkpoint.weights)

    def begin(self, stage_index: int, weights: Mapping[str, Tensor]) -> Actors:
        """Return the actors of a stage.  Raises: SpecError as making them does."""
        if self._cluster is None:
            address = environ.secret("RAY_ADDRESS")
            own = [Node(1, 0, {})]
            self._cluster = RayCluster.joined(address) if address else RayCluster.started(own, patience_s=_START_S)
            self._places = Places(1, cpus=1, gpus=0, patience_s=_START_S)
        experiment = self._experiment
        stage = experiment.stages[stage_index]
        policy = self._group("trainer", stage_index, weights)
        critic = self._group("critic", stage_index, weights) if has_critic(stage) else None
        is_scorer = isinstance(stage.algorithm.loss, ScoreLoss)
        engine, send = None, None
        if samples(stage) and (place := self._served(stage_index, stage)) is not None:
            engine = SGLangEngine(place, routed=recorded_layers(experiment, stage))
            send = partial(_send, policy, [place], engine)
        self._client = engine
        return Actors(
            learners=Learners(None, policy) if is_scorer else Learners(policy, None),
            critic=critic,
            engine=engine,
            send_weights=send,
            reward=build_reward(stage, root=self._root),
            algorithm=algorithm_of(stage),
            set_rewards=build_set_rewards(stage, root=self._root),
            overlap=True,
            apart=(policy,) if critic is None else (policy, critic),
        )

    def close(self) -> None:
        """End every process of the run."""
        if self._client is not None:
            self._client.close()
        for group in self._groups.values():
            group.end()
        if self._engine is not None:
            self._engine.end()
        if self._places is not None:
            self._places.release()
        if self._cluster is not None:
            self._cluster.close()

    def _group(self, role: Role, stage_index: int, weights: Mapping[str, Tensor]) -> RankGroup:
        group = self._groups.get(role)
        if group is None:
            rank = Actor(RankShell, f"{role} 0", self._path(role), log=self._log(role, 0), options=self._options())
            group = self._groups[role] = RankGroup([rank])
            group.open(self._experiment, root=self._root)
        group.begin(stage_index, role, weights)
        return group

    def _served(self, stage_index: int, stage: Stage[Never]) -> ServerPlace | None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._engine is None:
            log, options = self._log("rollout", 0), self._options()
            self._engine = Actor(EngineShell, "rollout engine 0", self._path("rollout"), log=log, options=options)
        begun = self._engine.begins("begin", self._experiment, stage_index, str(self._root), "127.0.0.1", self._token)
        url = self._engine.answer(begun)
        return ServerPlace(url=url, token=self._token, answer_s=_ANSWER_S, silence_s=_SILENCE_S, attempts=_ATTEMPTS)

    def _options(self) -> dict[str, Any]:
        variables = {v.name: v.value for v in self._experiment.cluster.environment}
        if self._places is None:
            raise InternalError("an actor without a place")
        return {**self._places.options(0), "runtime_env": {"env_vars": variables}, "max_restarts": 0}

    def _path(self, role: str) -> str:
        roles = [r.role for r in self._experiment.placement.roles]
        return f"placement.roles.{roles.index(role)}" if role in roles else "placement.roles"

    def _log(self, role: str, number: int) -> Path:
        return self._run_dir / "logs" / f"{role}_{number}.log"


def _send(group: RankGroup, places: Sequence[ServerPlace], client: SGLangEngine, version: int, *, verify: bool) -> None:
    """Have the ranks send, and let this process's own client know of it."""
    group.send_weights(places, version, verify=verify)
    client.note_weights(version=version)
