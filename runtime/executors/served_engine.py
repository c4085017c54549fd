"""The native engine of a stage behind HTTP in this process: what an actor of a cluster is, without the cluster.

It holds no weights until a trainer sends some.  Draws are named by whoever asks (ADR 0006), so its tokens are those of
an engine in the driver's own process.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Never

from compiler.diagnostics.diagnostic import InternalError
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import Off
from compiler.ir.training import PolicyTrain
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.routed_experts import RoutedLayers, routed_layers
from runtime.engines.rollout.server.app import Served
from runtime.engines.rollout.server.listening import ListeningServer, listening_socket, url_of
from runtime.executors.inline import build_engine
from runtime.torch_process import set_up_torch

_LAST_REQUESTS_S: Final = 5.0


class ServedEngine:
    """Serves from the making of this until `stop`.

    Args:
        host: the address at which it listens, at a free port.
        token: what clients have to send.
    """

    def __init__(
        self, experiment: Experiment[Never], stage: Stage[Never], *, root: Path, host: str, token: str
    ) -> None:
        set_up_torch(cpu_threads=experiment.cluster.cpu_threads)
        engine = build_engine(experiment, stage)
        if not isinstance(engine, NativeEngine) or isinstance(stage.rollout, Off):
            raise InternalError(f"stage {stage.name} has no native engine")
        listener = listening_socket(host, 0)
        served = Served(
            engine=engine,
            model=experiment.model,
            max_context_tokens=stage.rollout.max_context_tokens,
            tokenizer=None,
            root=root,
            token=token,
            seed=experiment.run.seed,
            routed=recorded_layers(experiment, stage),
        )
        self.url = url_of(listener)
        self._server = ListeningServer(served, listener, drain_s=0.0)
        ready = threading.Event()
        self._serving = ThreadPoolExecutor(1, "rollout server").submit(self._server.serve, started=ready.set)
        self._serving.add_done_callback(lambda _: ready.set())
        ready.wait()
        self.check()

    def check(self) -> None:
        """Raise what ended the server, if it has ended."""
        if self._serving.done():
            self._serving.result()
            raise InternalError("the server of the rollout engine has ended")

    def stop(self) -> None:
        """End the server, and what is under way there."""
        self._server.stop()
        self._serving.result(_LAST_REQUESTS_S)


def recorded_layers(experiment: Experiment[Never], stage: Stage[Never]) -> RoutedLayers | None:
    """Return where the experts are that the engine of a stage records, or None where it records none."""
    records = isinstance(stage.train, PolicyTrain) and stage.train.routing_replay == "rollout"
    return routed_layers(experiment.model) if records else None
