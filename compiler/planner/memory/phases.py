"""The phases of a step, and what the fullest GPU of each class and a machine's RAM hold in each.

Where both sides share their GPUs, the one that does not work has given its memory back and keeps a driver's context and
its communicators; the trainer's optimizer state, and its weights, wait in host memory.  While weights are handed over,
the trainer has its weights and the engine its own, with two buckets on their way.  The reference model takes the place
of the trained weights for its pass, and waits in host memory otherwise.
"""

from __future__ import annotations

from functools import lru_cache

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.memory.activations import Recompute, working_bytes
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.engine import EngineJob, engine_lines, weight_lines
from compiler.planner.memory.lines import GIB, MIB, Line, Lines, non_empty, total
from compiler.planner.memory.loss import loss_lines
from compiler.planner.memory.pipeline import stage_layers
from compiler.planner.memory.static import offloaded_bytes, static_lines, unsharded_lines
from compiler.planner.memory.training import Job, fullest_stage, static_memory

SHARED, TRAINING, ROLLOUT, HOST = "GPU", "training GPU", "rollout GPU", "machine's RAM"
_BUCKET_BYTES = 512 * MIB  # slime's update-weight-buffer-size
_BUCKETS = 2  # one is filled while the other is sent


class Phase(NamedTuple):
    """What one class of device holds in one phase."""

    name: str
    device: str
    lines: Lines

    @property
    def bytes(self) -> float:
        """All of it."""
        return total(self.lines)


class StageJob(NamedTuple):
    """All that decides the memory of a stage of an experiment.

    Args:
        engine: that which generates; None where nothing is sampled.
        reader: an engine that reads prompts for it, where there are two kinds.
        trains: False where weights stay as they are: nothing is kept of them but themselves.
        others: what lies on a training GPU for the whole stage beside the policy: a critic, a teacher.
        has_reference: whether log-probs of a reference model are taken.
        scores: whether log-probs are taken before training, of a reference or of the policy.
        communicators: of one training GPU.
        gpus_per_node: of one machine.
        buffer_bytes: samples that wait for a step, in host memory.
    """

    job: Job
    engine: EngineJob | None
    is_shared: bool
    others: Lines = ()
    has_reference: bool = False
    scores: bool = True
    communicators: int = 1
    gpus_per_node: int = 8
    buffer_bytes: float = 0
    trains: bool = True
    reader: EngineJob | None = None


@lru_cache(maxsize=16)  # every plan of a sweep over what a loss is made of asks the same
def phases_of(stage: StageJob, constants: Constants) -> tuple[Phase, ...]:
    """Return the phases of a step, in their order, and the RAM of a machine."""
    device = SHARED if stage.is_shared else TRAINING
    found: list[Phase] = []
    engine = stage.engine
    trainer, sampler = _trainer_at_rest(stage, constants), _engine_at_rest(stage, constants)
    if engine is not None:
        sampling = (*engine_lines(engine, constants), *sampler)
        found.append(
            Phase("rollout", SHARED, (*sampling, *trainer)) if stage.is_shared else Phase("rollout", ROLLOUT, sampling)
        )
    if engine is not None and stage.reader is not None:
        reading = (*engine_lines(stage.reader, constants), *sampler)
        is_shared = stage.is_shared
        found.append(
            Phase("prefill", SHARED, (*reading, *trainer)) if is_shared else Phase("prefill", ROLLOUT, reading)
        )
        # Weights are handed to both kinds alike.
        engine = max((engine, stage.reader), key=lambda job: total(engine_lines(job, constants)))
    beside = (*trainer, *(sampler if stage.is_shared else ()), *stage.others)
    static = _fullest_static(stage.job, constants)
    if not stage.trains:
        weights = tuple(line for line in static if line.name == "weights")
        handed = _sync(stage, engine, weights, (beside, sampler), constants) if engine is not None else []
        return (*found, *handed, Phase("host", HOST, host_lines(stage, constants)))
    in_full = fullest_stage(stage.job, constants)[1]
    if stage.is_shared and engine is not None:
        found.append(Phase("handoff", device, (*static, *beside)))
    if stage.scores or stage.has_reference:
        found.append(Phase("log-probs", device, (*_scoring(stage.job, constants), *beside)))
    found.append(Phase("train", device, (*in_full, *beside)))
    if engine is not None:
        found.extend(_sync(stage, engine, static, (beside, sampler), constants))
    found.append(Phase("checkpoint", device, (*static, *beside)))
    return (*found, Phase("host", HOST, host_lines(stage, constants)))


def fullest(phases: tuple[Phase, ...], device: str) -> Phase | None:
    """Return the phase in which a class of device holds most, None where there is no such device."""
    return max((phase for phase in phases if phase.device == device), key=lambda phase: phase.bytes, default=None)


def beside_engine(stage: StageJob, constants: Constants) -> float:
    """Return the bytes of an engine's GPU that it never has: contexts, communicators, weights on their way."""
    trainer = total(_trainer_at_rest(stage, constants)) if stage.is_shared else _BUCKETS * _BUCKET_BYTES
    return total(_engine_at_rest(stage, constants)) + trainer


def host_lines(stage: StageJob, constants: Constants) -> Lines:
    """Return what lies in the RAM of one machine: of all its processes, at the fullest moment.

    Each training process pins the weights that it gives to engines, and those of the reference; while GPUs are shared,
    what is paused waits there as well.
    """
    job, each = stage.job, stage.gpus_per_node
    held = {line.name: line.bytes for line in static_lines(job.network, job.layout, job.storage, 0)}
    weights = held.get("weights", 0.0)
    has_engine, is_paused = stage.engine is not None, stage.is_shared and stage.trains
    paused = sum(held.get(name, 0.0) for name in ("master weights", "optimizer moments")) if is_paused else 0.0
    processes = each + (each // stage.engine.gpus if stage.engine is not None else 0)
    inputs = 0.0
    if job.recompute.is_offloaded and stage.trains:
        layers = stage_layers(job.network, job.layout, 0).all
        inputs = 2 * job.network.hidden * job.tokens.count / job.layout.cp * layers
    offloaded = offloaded_bytes(job.network, job.layout, job.storage, 0) if stage.trains else 0.0
    return non_empty(
        Line("processes", processes * constants.process_gib * GIB),
        Line("pinned weights", each * weights if has_engine else 0.0),
        Line("reference weights", each * weights if stage.has_reference else 0.0),
        Line("offloaded optimizer", each * offloaded),
        Line("paused optimizer", each * paused if has_engine else 0.0),
        Line("offloaded activations", each * inputs),
        Line("samples that wait", stage.buffer_bytes),
    )


def _trainer_at_rest(stage: StageJob, constants: Constants) -> Lines:
    """What a trainer keeps on its GPU whatever it does."""
    return (
        Line("trainer's context", constants.context_gib * GIB),
        Line("trainer's communicators", stage.communicators * constants.communicator_mib * MIB),
    )


def _engine_at_rest(stage: StageJob, constants: Constants) -> Lines:
    if stage.engine is None:
        return ()
    groups = 1 if stage.engine.gpus > 1 else 0
    return non_empty(
        Line("engine's context", constants.context_gib * GIB),
        Line("engine's communicators", groups * constants.communicator_mib * MIB),
    )


def _fullest_static(job: Job, constants: Constants) -> Lines:
    stages = {0, min(1, job.layout.pp - 1), job.layout.pp - 1}
    return max((static_memory(job, stage, constants) for stage in sorted(stages)), key=total)


def _scoring(job: Job, constants: Constants) -> Lines:
    """A forward pass without gradients, one layer after the other, and the logits of a micro-batch."""
    last = job.layout.pp - 1
    one = job.one_pass(constants)._replace(recompute=Recompute())
    kinds = stage_layers(job.network, job.layout, last)
    layer = working_bytes(one._replace(recompute=Recompute("full")), kinds, constants._replace(gradients_frac=0))
    logits = loss_lines(job.network, job.layout, job.loss, job.tokens.count, trains=False)
    fullest_moment = max(non_empty(Line("one layer forward", layer)), logits, key=total)
    gathered = unsharded_lines(job.network, job.layout, job.storage, constants)
    return (*static_memory(job, last, constants), *gathered, *fullest_moment)


def _sync(
    stage: StageJob, engine: EngineJob, static: Lines, rest: tuple[Lines, Lines], constants: Constants
) -> list[Phase]:
    """Weights on their way, on both sides; the rest is what lies on the GPUs of either side whatever it does."""
    beside, sampler = rest
    buckets = Line("weights on their way", _BUCKETS * _BUCKET_BYTES)
    if stage.is_shared:
        weights = tuple(line for line in static if line.name == "weights")
        return [Phase("weight sync", SHARED, (*weights, *weight_lines(engine), buckets, *beside))]
    return [
        Phase("weight sync", TRAINING, (*static, buckets, *beside)),
        Phase("weight sync", ROLLOUT, (*engine_lines(engine, constants), *sampler, buckets)),
    ]
