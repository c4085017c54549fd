"""Which executor carries a run: the one that its plan names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Never, Protocol

from compiler.ir.experiment import Experiment
from runtime.checkpoint.store import CheckpointStore
from runtime.executors.inline import Actors, build_actors

if TYPE_CHECKING:
    from torch import Tensor


class Executor(Protocol):
    """Builds the actors of one stage after another."""

    def start(self, read: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Return tensors that a function reads: now, or where they are needed."""
        ...

    def begin(self, stage_index: int, weights: Mapping[str, Tensor]) -> Actors:
        """Return the actors that a stage asks for; what is trained starts from `weights`."""
        ...

    def handed_on(self, actors: Actors, store: CheckpointStore) -> Mapping[str, Tensor]:
        """Return the weights of a stage that has ended, for the next one."""
        ...

    def close(self) -> None:
        """End everything that was begun."""
        ...


class InlineExecutor:
    """All actors in this process."""

    def __init__(self, experiment: Experiment[Never], *, root: Path) -> None:
        self._experiment, self._root = experiment, root

    def start(self, read: Callable[[], Mapping[str, Tensor]]) -> Mapping[str, Tensor]:
        """Return the tensors."""
        return read()

    def begin(self, stage_index: int, weights: Mapping[str, Tensor]) -> Actors:
        """Return the actors of a stage.  Raises: SpecError as making them does."""
        return build_actors(self._experiment, self._experiment.stages[stage_index], weights, root=self._root)

    def handed_on(self, actors: Actors, store: CheckpointStore) -> Mapping[str, Tensor]:
        """Return copies."""
        return {name: tensor.clone() for name, tensor in actors.learner.named_weights()}

    def close(self) -> None:
        """Nothing was begun."""


def open_executor(experiment: Experiment[Never], *, root: Path, run_dir: Path, tell: Callable[[str], None]) -> Executor:
    """Return the executor of a plan; `tell` is told what people should read.

    Raises: SpecError RLC0760 if Ray does not start.
    """
    if experiment.run.executor == "inline":
        return InlineExecutor(experiment, root=root)
    from runtime.executors.ray_ import RayExecutor

    return RayExecutor(experiment, root=root, run_dir=run_dir, tell=tell)
