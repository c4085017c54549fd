"""Serves the weights of a plan over HTTP: those of a checkpoint, or those that a run would start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Never

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.nearest import nearest_names
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.plan import Plan
from compiler.ir.rollout import Generation, Rollout
from compiler.ir.training import PolicyTrain
from runtime.checkpoint.store import Checkpoint
from runtime.data.tokenizers import load_tokenizer
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.routed_experts import routed_layers
from runtime.engines.rollout.server.app import Served
from runtime.engines.rollout.server.listening import ListeningServer, listening_socket, url_of
from runtime.executors.inline import build_engine, weights_at_the_start
from runtime.progress import Progress
from runtime.torch_process import set_up_torch


@dataclass(frozen=True, kw_only=True, slots=True)
class ServeSettings:
    """How a plan is served.

    Args:
        port: 0 takes a free one.
        stage: whose [rollout] says how many sequences are decoded at once, or nothing for the last that has one.
        token: what clients have to send.
        weight_folders: where new weights may be read from beside the folder of the plan.
        drain_s: the longest that responses under way are waited for at the end.
    """

    host: str
    port: int
    stage: str
    token: str
    drain_s: float
    weight_folders: tuple[Path, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Serving:
    """What is served once requests are answered."""

    url: str
    stage: str
    weight_version: str


def serve_plan(
    plan: Plan,
    checkpoint: Checkpoint | None,
    settings: ServeSettings,
    *,
    root: Path,
    started: Callable[[Serving], object],
) -> None:
    """Serve until the process is told to end, and let what is under way finish.

    The environment of the plan has to be in place before this module is imported.

    Args:
        started: called once requests are answered.

    Raises: SpecError RLC0732 if the address is refused, RLC0733 without such a stage, and for faults of weights.
    """
    experiment: Experiment[Never] = plan.experiment
    chosen, rollout = _rollout(experiment, settings.stage)
    set_up_torch(cpu_threads=experiment.cluster.cpu_threads)
    tokenizer = load_tokenizer(experiment.model, root=root)
    weights = weights_at_the_start(experiment, root=root) if checkpoint is None else checkpoint.stored()
    version = 0 if checkpoint is None else Progress.from_json(checkpoint.state).global_step
    engine = build_engine(experiment, chosen)
    assert isinstance(engine, NativeEngine)
    records = isinstance(chosen.train, PolicyTrain) and chosen.train.routing_replay == "rollout"
    served = Served(
        engine=engine,
        model=experiment.model,
        max_context_tokens=rollout.max_context_tokens,
        tokenizer=tokenizer,
        root=root,
        token=settings.token,
        seed=experiment.run.seed,
        weight_folders=settings.weight_folders,
        routed=routed_layers(experiment.model) if records else None,
    )
    listener = listening_socket(settings.host, settings.port)
    server = ListeningServer(served, listener, drain_s=settings.drain_s)
    server.engine_server.under_way.load(iter(weights.items()), str(version))
    del weights
    serving = Serving(url=url_of(listener), stage=chosen.name, weight_version=str(version))
    server.serve(started=lambda: started(serving))


def _rollout(experiment: Experiment[Never], name: str) -> tuple[Stage[Never], Generation[Never]]:
    # A stage that samples only to be measured is served where it is named.
    kind = Generation if name else Rollout
    found = [(s, s.rollout) for s in experiment.stages if isinstance(s.rollout, kind)]
    if not found:
        way = Help("serve a spec with a stage that samples, or give this one a [rollout]")
        raise SpecError(Diagnostic("RLC0733", f"no stage of {experiment.name} has a [rollout]", help=(way,)))
    named = [pair for pair in found if pair[0].name == name] if name else found
    if not named:
        names = [s.name for s, _ in found]
        near = nearest_names(name, names, most=1)
        way = Help(f"did you mean {near[0]}?" if near else f"there are: {', '.join(names)}")
        raise SpecError(Diagnostic("RLC0733", f"no stage {name} has a [rollout]", help=(way,)))
    return named[-1]
