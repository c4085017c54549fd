"""An engine holds its longest sequence.

What: on each GPU of a rollout engine, bf16 weights and the keys and values of one sequence of
rollout.max_context_tokens fit its memory.
Why it matters: an engine whose cache is too small for one sequence refuses to start, or waits for room that never
comes; one whose weights do not fit fails when they are loaded.
Example: a model of 70 billion parameters with `gpus_per_engine = 1` on GPUs of 80 GB.
Fix: more GPUs for one engine, or a shorter context.
Source: MEM-03.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.hardware import gpus_per_node
from compiler.ir.model import Model
from compiler.ir.openness import Auto, Off
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.ranks import GIB, engine_sequence_bytes, engine_weight_bytes
from compiler.rules._gpu_layout import divisors, fix
from compiler.rules.gpu._memory import Machine, machine_of

CODE = "RLC0532"
ID = "MEM-03"
_FIELD, _CONTEXT = "placement.gpus_per_engine", "rollout.max_context_tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report engines that cannot hold weights and one sequence, the first of those that need the same."""
    machine = machine_of(subject)
    if machine is None:
        return
    model, each = subject.experiment.model, machine.layout.placement.gpus_per_engine
    seen: set[int] = set()
    for stage in subject.stages():
        rollout = stage.stage.rollout
        tokens = 0 if isinstance(rollout, Off) else rollout.max_context_tokens
        if not isinstance(tokens, int) or not tokens or tokens in seen or _fits(model, machine, each, tokens):
            continue
        seen.add(tokens)
        weights, sequence = engine_weight_bytes(model, each), engine_sequence_bytes(model, each, tokens)
        said = f"{weights / GIB:,.1f} of weights, {sequence / GIB:,.1f} of one sequence of {tokens:,} tokens"
        above = subject.labels(
            ("cluster.gpus_per_node", f"{machine.gpu.memory_gib:,} GiB each"), (_FIELD, f"{each:,} for one engine")
        )
        yield Diagnostic(
            CODE,
            f"a GPU of an engine has {machine.gpu.memory_gib:,} GiB, and needs "
            f"{(weights + sequence) / GIB:,.1f} GiB: {said}",
            above or stage.labels((_CONTEXT, f"{tokens:,} tokens")),
            alternatives(*_ways(stage, machine, each, tokens)),
            rule=ID,
            paths=(_FIELD, "cluster.gpus_per_node", stage.path(_CONTEXT)),
        )


def _fits(model: Model[Auto], machine: Machine, each: int, tokens: int) -> bool:
    return engine_weight_bytes(model, each) + engine_sequence_bytes(model, each, tokens) <= machine.room


def _ways(stage: StageSubject, machine: Machine, each: int, tokens: int) -> Iterator[Help]:
    """The smallest larger engine that fits heads and machines."""
    model, gpus = stage.subject.experiment.model, machine.layout.placement.rollout_gpus
    named = gpus_per_node(stage.subject.experiment.cluster.gpus_per_node)
    if not isinstance(gpus, int) or named is None:
        return
    for size in divisors(gpus):
        straddles = named.count % size != 0 and size % named.count != 0
        shares = model.num_kv_heads % size == 0 or size % model.num_kv_heads == 0 or not isinstance(model.mla, Off)
        if (
            size > each
            and not straddles
            and model.num_heads % size == 0
            and shares
            and _fits(model, machine, size, tokens)
        ):
            yield fix(_FIELD, size)
            return
