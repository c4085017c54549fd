"""The actors of Ray: thin shells around plain classes, which know nothing of Ray.

What a method raises goes back to whoever called it, by Ray.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Never

from compiler.ir.experiment import Experiment


class Shell:
    """What all actors have in common.

    Args:
        log: the file that what the process writes goes to; nothing of it goes to the terminal of the run.
    """

    def __init__(self, log: str) -> None:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for standard in (1, 2):
            os.dup2(file, standard)
        os.close(file)

    def where(self) -> tuple[int, str]:
        """Return the process and the node."""
        import ray

        return os.getpid(), ray.get_runtime_context().get_node_id()


class RankShell(Shell):
    """A rank of a trainer or of a critic."""

    def __init__(self, log: str) -> None:
        super().__init__(log)
        self._rank: Any = None

    def open(self, experiment: Experiment[Never], root: str, meeting: Any) -> None:
        """Join the others."""
        from runtime.executors.rank import TrainerRank

        self._rank = TrainerRank(experiment, root=Path(root), meeting=meeting)

    def do(self, method: str, arguments: Sequence[Any], named: Mapping[str, Any], *, answers: bool) -> Any:
        """Call a method of the rank; `answers` says whether what it returns is wanted."""
        answer = getattr(self._rank, method)(*arguments, **named)
        return answer if answers else None

    def train(self, role: str, method: str, batch: Any, named: Mapping[str, Any], *, answers: bool) -> Any:
        """Call a method of what is trained, with one argument where it has one."""
        arguments = () if batch is None else (batch,)
        return self.do("call", (role, method, arguments, named), {}, answers=answers)


class EngineShell(Shell):
    """An engine that generates, served over HTTP."""

    def __init__(self, log: str) -> None:
        super().__init__(log)
        self._engine: Any = None

    def begin(self, experiment: Experiment[Never], stage_index: int, root: str, host: str, token: str) -> str:
        """Serve a stage, and return where."""
        from runtime.executors.served_engine import ServedEngine

        if self._engine is not None:
            self._engine.stop()
        stage = experiment.stages[stage_index]
        self._engine = ServedEngine(experiment, stage, root=Path(root), host=host, token=token)
        return self._engine.url

    def check(self) -> None:
        """Look whether it still serves.  Raises: what ended it."""
        self._engine.check()


class ServerShell(Shell):
    """A rollout server in a process of its own, started by the command line of the plan."""

    def __init__(self, log: str) -> None:
        super().__init__(log)
        self._server: Any = None

    def begin(self, asked: Any) -> str:
        """End the server of the stage before, start one, wait until it can be used, and return where it is.

        Args:
            asked: a runtime.executors.planned_server.PlannedServer.
        """
        if self._server is not None:
            self._server.stop()
        self._server = asked.started()
        return self._server.url

    def check(self, answer_s: float) -> None:
        """Look whether it is well.  Raises: SpecError RLC0766 if it has ended, RLC0767 if it does not answer."""
        self._server.check(answer_s=answer_s)
