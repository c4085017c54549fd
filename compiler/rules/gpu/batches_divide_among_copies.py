"""Batches divide among the copies of the model.

What: the optimizer batch is a multiple of dp; with a fixed micro_batch, a copy's share is a multiple of that as well,
and where pipeline stages interleave groups of layers the number of micro-batches is a multiple of pp.
Why it matters: a share that is no whole number is cut short or padded, on some ranks only, and the gradient is then
that of another batch; with micro-batches it is an assertion after the first rollout.
Example: `global_batch = 100` over 8 copies.
Fix: a multiple of dp, or another dp.
Source: BATCH-03; slime's V-rules on global batch size, NeMo-RL's dtensor policy checks; Megatron-core's interleaved
schedule.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._gpu_layout import divisors, fills_the_gpus, layout_of, size

CODE = "RLC0508"
ID = "BATCH-03"
_BATCH, _MICRO = "train.global_batch", "train.micro_batch"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report batches that leave a rest."""
    layout = layout_of(subject)
    if layout is None or not isinstance(layout.parallel.dp, int) or not fills_the_gpus(layout):
        return  # a mesh that does not fill the GPUs has no number of copies to divide among
    copies = layout.parallel.dp
    for stage in subject.stages():
        batch, micro = stage.stage.train.global_batch, stage.stage.train.micro_batch
        if not isinstance(batch, int):
            continue
        share, rest = divmod(batch, copies)
        if rest or share == 0:
            yield _diagnostic(stage, f"{batch:,} samples cannot be divided among {copies:,} copies", copies, batch)
        elif not isinstance(micro, Off) and share % micro:
            yield _diagnostic(
                stage,
                f"each of {copies:,} copies has {share:,} samples, which {micro:,} at a time do not use up",
                copies * micro,
                batch,
            )
        elif (
            not isinstance(micro, Off) and size(layout.parallel.vpp) > 1 and (share // micro) % size(layout.parallel.pp)
        ):
            pp = size(layout.parallel.pp)
            text = f"{share // micro:,} micro-batches of a copy do not go through {pp:,} interleaved stages in rounds"
            yield _diagnostic(stage, text, copies * micro * pp, batch)


def _diagnostic(stage: StageSubject, message: str, unit: int, batch: int) -> Diagnostic:
    ways: list[Help] = [stage.fix(_BATCH, n) for n in _fitting(stage, unit, batch)]
    shown = (
        ("parallel.dp", "copies"),
        ("parallel.tp", "leaves fewer or more copies"),
        ("parallel.vpp", "groups of layers in turn"),
    )
    labels = (*stage.subject.labels(*shown), *stage.labels((_MICRO, "samples at a time"), (_BATCH, "samples a step")))
    last = len(labels) - 1
    labels = tuple(label._replace(is_primary=i == last) for i, label in enumerate(labels))
    paths = ("parallel.dp", stage.path(_BATCH), stage.path(_MICRO))
    return Diagnostic(CODE, message, labels, alternatives(*ways), rule=ID, paths=paths)


def _fitting(stage: StageSubject, unit: int, batch: int) -> list[int]:
    """Return the nearest multiples of a number; where samples are drawn, those that use up a rollout."""
    rollout = stage.stage.rollout
    if not isinstance(rollout, Rollout):
        return [n for n in (batch // unit * unit, (batch // unit + 1) * unit) if n > 0]
    prompts, group = rollout.prompts_per_step, rollout.samples_per_prompt
    if not isinstance(prompts, int) or not isinstance(group, int) or stage.written("train.steps_per_rollout"):
        return []
    samples = prompts * group
    dividing = [unit * n for n in divisors(samples // unit)] if samples % unit == 0 else []
    return sorted(sorted(dividing, key=lambda n: (abs(n - batch), n))[:2])
