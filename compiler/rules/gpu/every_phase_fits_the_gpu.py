"""Every phase of a step fits the GPU.

What: at the fullest moment of each phase (rollout, log-probs, training, weight sync) a GPU of its class has room for
all that lies on it by the planner's model of memory: weights, gradients and optimizer state, activations of every
micro-batch under way, logits, an engine's cache and graphs, contexts, communicators, and what the allocator loses.
Not checked: training where nothing that is written bounds a micro-batch, neither its tokens nor the prompt or the
context; rows may be as long as the model's positions then, and only the data says how long they are.
Why it matters: a step that does not fit runs out of memory once the first long samples come, after the weights have
been loaded and a rollout has been sampled.
Example: a model of 8 billion parameters with `tp = 1` on GPUs of 80 GB, and micro-batches of 32,768 tokens of which
nothing is recomputed.
Fix: the message says what each way out saves: recomputation, smaller micro-batches, more GPUs for a layer or for a
sequence.  The model is within a tenth of most measurements; who knows better allows the rule with a reason.
Source: MEM-06; docs/decisions/0060-the-memory-model.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.engine_settings import path_of
from compiler.planner.memory.activations import Recompute
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.experiment_facts import stage_job
from compiler.planner.memory.lines import GIB, Line
from compiler.planner.memory.phases import HOST, Phase, StageJob, phases_of
from compiler.rules._gpu_layout import divisors, fix
from compiler.rules.gpu._memory import Machine, divides, engine_room, handover_fits, held_bytes, written_machine_of

CODE = "RLC0402"
ID = "MEM-06"
_TRAIN, _LOGPROBS = "train", "log-probs"
_BEFORE_NOTE = "        "  # as fixes set off what they say of themselves
_SAID_LINES = 4
_TOKENS = "train.packing.tokens"
_TOKEN_STEP = 1024
_BOUNDS = ("rollout.max_context_tokens", "rollout.max_prompt_tokens")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report the fullest phase of each stage that does not fit, the first of those that need the same."""
    machine = written_machine_of(subject)
    if machine is None:
        return
    seen: set[int] = set()
    for stage in subject.stages():
        job = _job(stage, machine)
        if job is None:
            continue
        over = [phase for phase in _checked(stage, job) if phase.bytes > machine.room]
        fullest = max(over, key=lambda phase: phase.bytes, default=None)
        if fullest is None or round(fullest.bytes) in seen:
            continue
        seen.add(round(fullest.bytes))
        yield _diagnostic(stage, machine, job, fullest)


def _job(stage: StageSubject, machine: Machine) -> StageJob | None:
    """What decides a stage's memory, None where a rule about one part of it says already that it does not fit."""
    spread = machine.spread
    if held_bytes(stage, spread).total > machine.room:
        return None
    if not handover_fits(stage, machine, spread, machine.layout.each):
        return None
    return stage_job(stage.subject.experiment, stage.stage, machine.gpu)


def _checked(stage: StageSubject, job: StageJob) -> list[Phase]:
    """The phases on GPUs of which a spec says how full they are."""
    sampled = () if isinstance(stage.stage.rollout, Off) else _BOUNDS
    is_known = any(stage.written(field) for field in (_TOKENS, *sampled))
    phases = [phase for phase in phases_of(job, CONSTANTS) if phase.device != HOST]
    return [phase for phase in phases if is_known or phase.name not in (_TRAIN, _LOGPROBS)]


def _diagnostic(stage: StageSubject, machine: Machine, job: StageJob, phase: Phase) -> Diagnostic:
    lines = sorted(phase.lines, key=lambda line: -line.bytes)
    said = ", ".join(_said(line) for line in lines[:_SAID_LINES])
    rest = sum(line.bytes for line in lines[_SAID_LINES:]) / GIB
    above = stage.subject.labels(
        ("parallel.tp", f"over {machine.spread.tp:,} GPUs"),
        ("cluster.gpus_per_node", f"{machine.gpu.memory_gib:,} GiB each"),
    )
    own = stage.labels((_TOKENS, f"{job.job.tokens.count:,.0f} tokens at once"))
    return Diagnostic(
        CODE,
        f"{phase.name} takes {phase.bytes / GIB:,.1f} GiB of a {phase.device}, which has "
        f"{machine.gpu.memory_gib:,} GiB: {said}, {rest:,.1f} of others",
        (*(label._replace(is_primary=False) for label in own), *above),
        alternatives(*_ways(stage, machine, job, phase)),
        rule=ID,
        paths=("cluster.gpus_per_node", "parallel.tp", stage.path(_TOKENS)),
        is_judgement=True,
    )


def _said(line: Line) -> str:
    return f"{line.bytes / GIB:,.1f} of {line.name}"


def _ways(stage: StageSubject, machine: Machine, job: StageJob, phase: Phase) -> Iterator[Help]:
    """What makes the phase fit: one setting, or recomputation together with a larger axis."""
    if phase.name not in (_TRAIN, _LOGPROBS):
        yield from _smaller_share(stage, machine, phase)
        return
    recomputed = job._replace(job=job.job._replace(recompute=Recompute("full")))
    can_recompute = stage.stage.train.engine.name in ("megatron", "fsdp2") and job.job.recompute.granularity != "full"
    if can_recompute and _fits(stage, machine, recomputed):
        yield _recompute_fix(stage, job, recomputed)
    yield from _smaller_batch(stage, machine, job)
    axes = list(_larger_axis(stage, machine, job))
    yield from axes
    if can_recompute and not axes and not _fits(stage, machine, recomputed):
        first = _recompute_fix(stage, job, recomputed)
        for way in _larger_axis(stage, machine, recomputed):
            (one, saved), (two, more) = (each.text.split(_BEFORE_NOTE) for each in (first, way))
            note = f"{saved}, and {more.removeprefix('saves ')} more"
            yield Help(f"{one}, and {two}{_BEFORE_NOTE}{note}", first.sets + way.sets)
            return


def _fits(stage: StageSubject, machine: Machine, job: StageJob) -> bool:
    return all(phase.bytes <= machine.room for phase in _checked(stage, job))


def _saved(job: StageJob, other: StageJob) -> str:
    """How much less training takes."""
    one, two = (next(p.bytes for p in phases_of(each, CONSTANTS) if p.name == _TRAIN) for each in (job, other))
    return f"saves {(one - two) / GIB:,.1f} GiB"


def _recompute_fix(stage: StageSubject, job: StageJob, other: StageJob) -> Help:
    if stage.stage.train.engine.name == "fsdp2":
        return stage.fix("train.engine.fsdp2.activation_checkpointing", "full", _saved(job, other))
    prefix = "train.engine.megatron.recompute"
    ways = (
        stage.fix(f"{prefix}_granularity", "full"),
        stage.fix(f"{prefix}_method", "uniform"),
        stage.fix(f"{prefix}_num_layers", 1),
    )
    text = f'{ways[0].text}, recompute_method = "uniform", recompute_num_layers = 1{_BEFORE_NOTE}{_saved(job, other)}'
    return Help(text, tuple(one for way in ways for one in way.sets))


def _smaller_batch(stage: StageSubject, machine: Machine, job: StageJob) -> Iterator[Help]:
    """The largest micro-batch that fits: of samples, or of tokens, no fewer than the longest sample has."""
    train, tokens = stage.stage.train, job.job.tokens
    if isinstance(train.micro_batch, int):
        for samples in range(train.micro_batch - 1, 0, -1):
            share = samples / train.micro_batch
            fewer = tokens._replace(count=tokens.count * share, pairs=tokens.pairs * share)
            more = round(job.job.micro_batches / share)
            other = job._replace(job=job.job._replace(tokens=fewer, micro_batches=more))
            if _fits(stage, machine, other):
                yield stage.fix("train.micro_batch", samples, _saved(job, other))
                return
        return
    longest = 0 if isinstance(stage.stage.rollout, Off) else stage.stage.rollout.max_context_tokens
    if not isinstance(longest, int) or not longest:
        return
    fewest = -(-longest // _TOKEN_STEP) * _TOKEN_STEP
    sizes = sorted({fewest, *(fewest << bits for bits in range(1, 8))}, reverse=True)
    for count in (size for size in sizes if size < tokens.count):
        fewer = tokens._replace(count=count, pairs=count * min(count, longest))
        other = job._replace(job=job.job._replace(tokens=fewer))
        if _fits(stage, machine, other):
            yield stage.fix(_TOKENS, count, _saved(job, other))
            return


def _larger_axis(stage: StageSubject, machine: Machine, job: StageJob) -> Iterator[Help]:
    """The smallest larger tensor or context parallelism that fits, with fewer copies of the model."""
    spread, gpus = machine.spread, machine.training_gpus
    if stage.subject.written("parallel.dp"):
        return
    for axis in ("tp", "cp"):
        for size in divisors(gpus):
            if size <= getattr(spread, axis):
                continue
            moved = spread._replace(**{axis: size})
            moved = moved._replace(dp=gpus // (moved.tp * moved.pp * moved.cp))
            if moved.dp < 1 or not divides(stage.subject, moved, gpus):
                continue
            gains_sp = axis == "tp" and not stage.subject.written("parallel.sp")
            layout = job.job.layout
            layout = layout._replace(tp=moved.tp, cp=moved.cp, dp=moved.dp, sp=layout.sp or gains_sp)
            other = job._replace(job=job.job._replace(layout=layout))
            if _fits(stage, machine, other):
                way = fix(f"parallel.{axis}", size, _saved(job, other))
                yield way
                break


def _smaller_share(stage: StageSubject, machine: Machine, phase: Phase) -> Iterator[Help]:
    """The largest share of a GPU for the engine, in hundredths, with which the phase fits."""
    rollout = stage.stage.rollout
    if isinstance(rollout, Off):
        return
    key = "gpu_memory_utilization" if rollout.engine.name == "vllm" else "mem_fraction_static"
    cache = next((line.bytes for line in phase.lines if line.name == "KV cache"), 0.0)
    taken = engine_room(stage, machine)
    over = phase.bytes - machine.room
    if over < cache:
        share = int((taken - over) / machine.room * 100) / 100
        field = path_of(stage, "rollout", key)
        yield stage.fix(field, share, f"leaves {(cache - over) / GIB:,.1f} GiB of cache")
