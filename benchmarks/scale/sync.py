"""Weights from a trainer's process to an engine on each way that there is, against a copy of the same bytes in memory.

In process is the engine of the inline executor; the others go to the same engine behind HTTP in another process of this
machine: tensors in safetensors over HTTP, a file that both see, and a broadcast over gloo.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.options import Options
from benchmarks.record import Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from benchmarks.train.plan import SPEC, compiled_step
from compiler.ir.plan import Plan
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.executors.inline import build_engine
from runtime.executors.served_engine import ServedEngine
from runtime.protocols import RolloutEngine
from runtime.torch_process import set_up_torch
from runtime.weights.initial import initial_weights

COPY, INLINE, HTTP, FILE, GROUP = "copy", "in process", "HTTP tensors", "shared file", "gloo group"
MOST_ROUNDS = 9
_SIZE = ("model.hidden_size=512", "model.intermediate_size=1536", "model.num_layers=4")
_TOKEN = "of a benchmark"


def measure(options: Options) -> Report:
    """Measure all ways in turn."""
    plan = compiled_step((f"cluster.cpu_threads={options.threads}", *_SIZE))
    set_up_torch(cpu_threads=options.threads)
    experiment = plan.experiment
    weights = dict(initial_weights(experiment.model, root=SPEC.parent, seed=experiment.run.seed))
    num_bytes = sum(tensor.nbytes for tensor in weights.values())
    there = {name: tensor.clone() for name, tensor in weights.items()}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm")))
        contestants = [Contestant(name=COPY, run=lambda: _copied(weights, there))]
        for name, engine in _engines(plan, folder, stack).items():
            contestants.append(Contestant(name=name, run=lambda engine=engine: _sent(engine, weights)))
        rounds = take_rounds(contestants, replace(options.effort, rounds=min(MOST_ROUNDS, options.effort.rounds)))
    figures: list[Figure] = []
    for name in (COPY, INLINE, HTTP, FILE, GROUP):
        wall_s = statistics.median(r.found[name]["wall_s"] for r in rounds.counted())
        figures.append(Figure(name=name, value=num_bytes / wall_s / 1e6, unit="MB/s"))
        if name != COPY:
            figures.append(Figure(name=f"{name} / {COPY}", value=rounds.ratio(name, COPY, of="wall_s"), unit="x"))
    return Report(
        benchmark="sync",
        cases=[make_case(f"{num_bytes / 1e6:.0f} MB in {len(weights)} tensors", rounds, figures)],
        settings={"threads": options.threads, "torch": torch.__version__},
        plan_hash=plan.hash,
    )


def _engines(plan: Plan, folder: Path, stack: ExitStack) -> dict[str, RolloutEngine]:
    experiment = plan.experiment
    inline = build_engine(experiment, experiment.stages[0])
    assert inline is not None
    found: dict[str, RolloutEngine] = {INLINE: inline}
    place = ServerPlace(
        url=stack.enter_context(_serving(plan, folder)), token=_TOKEN, answer_s=300.0, silence_s=300.0, attempts=1
    )
    clients = {
        HTTP: SGLangEngine(place),
        FILE: SGLangEngine(place, weights_dir=folder, uses_additions=False),
        GROUP: SGLangEngine(place),
    }
    for client in clients.values():
        stack.callback(client.close)
    clients[GROUP].send_over_group()
    return found | clients


@contextmanager
def _serving(plan: Plan, folder: Path) -> Iterator[str]:
    """Serve the engine of a plan in another process, which reads files of one folder, and yield where."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(plan, folder, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send("end")
        process.join()


def _serve(plan: Plan, folder: Path, pipe: Connection) -> None:
    experiment = plan.experiment
    engine = ServedEngine(experiment, experiment.stages[0], root=folder, host="127.0.0.1", token=_TOKEN)
    pipe.send(engine.url)
    pipe.recv()
    engine.stop()


def _copied(weights: Mapping[str, Tensor], there: Mapping[str, Tensor]) -> Measurement:
    begun = time.perf_counter()
    for name, tensor in weights.items():
        there[name].copy_(tensor)
    return {"wall_s": time.perf_counter() - begun}


def _sent(engine: RolloutEngine, weights: Mapping[str, Tensor]) -> Measurement:
    begun = time.perf_counter()
    engine.load_weights(iter(weights.items()), version=1)
    return {"wall_s": time.perf_counter() - begun}
