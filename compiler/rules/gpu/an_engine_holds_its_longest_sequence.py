"""An engine holds its longest sequence.

What: on each GPU of a rollout engine, bf16 weights and the keys and values of one sequence of
rollout.max_context_tokens fit its memory; or the share of it that the engine is given by its own name, SGLang's
`mem_fraction_static` or vLLM's `gpu_memory_utilization`, both of which count weights.
Why it matters: an engine whose cache is too small for one sequence refuses to start, or waits for room that never
comes; one whose weights do not fit fails when they are loaded.
Example: a model of 70 billion parameters with `gpus_per_engine = 1` on GPUs of 80 GB.
Fix: more GPUs for one engine, a larger share, or a shorter context.  Keys and values of all sequences at once need not
fit: engines admit what has room.
Source: MEM-03; verl#647, NeMo-RL PR#3280.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.hardware import gpus_per_node
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.engine_settings import number_of, path_of
from compiler.planner.ranks import GIB, engine_formats, engine_sequence_bytes, engine_weight_bytes
from compiler.planner.splits import heads_split
from compiler.rules._gpu_layout import divisors, fix
from compiler.rules.gpu._memory import Machine, engine_room, handover_fits, written_machine_of

CODE = "RLC0532"
ID = "MEM-03"
_FIELD, _CONTEXT = "placement.gpus_per_engine", "rollout.max_context_tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report engines that cannot hold weights and one sequence, the first of those that need the same."""
    machine = written_machine_of(subject)
    if machine is None:
        return
    each = machine.layout.each
    seen: set[int] = set()
    for stage in subject.stages():
        rollout, room = stage.stage.rollout, engine_room(stage, machine)
        tokens = 0 if isinstance(rollout, Off) else rollout.max_context_tokens
        if not isinstance(tokens, int) or not tokens or tokens in seen or _fits(stage, room, each, tokens):
            continue
        seen.add(tokens)
        weights, sequence = _needed(stage, each, tokens)
        said = f"{weights / GIB:,.1f} of weights, {sequence / GIB:,.1f} of one sequence of {tokens:,} tokens"
        above = subject.labels(
            ("cluster.gpus_per_node", f"{machine.gpu.memory_gib:,} GiB each"), (_FIELD, f"{each:,} for one engine")
        )
        memory = f"{machine.gpu.memory_gib:,} GiB"
        if room < machine.room:
            above += tuple(label._replace(is_primary=False) for label in stage.labels(*_shares(stage)))
            memory = f"{room / GIB:,.1f} GiB of its {memory}"
        yield Diagnostic(
            CODE,
            f"a GPU of an engine has {memory}, and needs {(weights + sequence) / GIB:,.1f} GiB: {said}",
            above or stage.labels((_CONTEXT, f"{tokens:,} tokens")),
            alternatives(*_ways(stage, machine, each, tokens)),
            rule=ID,
            paths=(_FIELD, "cluster.gpus_per_node", stage.path(_CONTEXT)),
        )


def _shares(stage: StageSubject) -> Iterator[tuple[str, str]]:
    for key in ("mem_fraction_static", "gpu_memory_utilization"):
        if number_of(stage, "rollout", key) is not None:
            yield path_of(stage, "rollout", key), "the engine's share"


def _fits(stage: StageSubject, room: int, each: int, tokens: int) -> bool:
    return sum(_needed(stage, each, tokens)) <= room


def _needed(stage: StageSubject, each: int, tokens: int) -> tuple[int, int]:
    """The bytes of an engine's weights on a GPU, and of one sequence, in the formats that the engine is given."""
    model, rollout = stage.subject.experiment.model, stage.stage.rollout
    assert not isinstance(rollout, Off), "an engine samples"
    formats = engine_formats(rollout.engine)
    return engine_weight_bytes(model, each, formats), engine_sequence_bytes(model, each, tokens, formats)


def _ways(stage: StageSubject, machine: Machine, each: int, tokens: int) -> Iterator[Help]:
    """A larger share where that is enough; the smallest larger engine that fits heads and machines."""
    model, gpus = stage.subject.experiment.model, machine.layout.placement.rollout_gpus
    room = engine_room(stage, machine)
    needed = sum(_needed(stage, each, tokens))
    share = -(-20 * needed // machine.room) / 20
    for path, _ in _shares(stage):
        if share < 1:
            yield stage.fix(path, share)
    named = gpus_per_node(stage.subject.experiment.cluster.gpus_per_node)
    if not isinstance(gpus, int) or named is None:
        return
    for size in divisors(gpus):
        straddles = named.count % size != 0 and size % named.count != 0
        fits = _fits(stage, room, size, tokens) and handover_fits(stage, machine, machine.spread, size)
        if size > each and not straddles and heads_split(model, size) and fits:
            yield fix(_FIELD, size)
            return
