"""Evaluations sample as many responses as they look at.

What: each k of `eval.k` is at least 1 and at most the samples of a prompt.
Why it matters: pass@k and cons@k are estimated from subsets of k responses; of fewer there is no such subset, and an
estimate with replacement would be biased.
Example: `eval.k = [1, 8]` with `eval.samples_per_prompt = 4`.
Fix: `eval.samples_per_prompt = 8`, or a smaller k.
Source: EVAL-01; Chen et al. 2021 (arXiv:2107.03374), section 2.1; NeMo-RL asks the same of its k_value.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.data import EvalSet
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._eval_sets import eval_sets, fix_set, said_at

CODE = "RLC0370"
ID = "EVAL-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report sizes that no subset of the responses has."""
    for stage, at, measured in eval_sets(subject):
        yield from _check_set(stage, at, measured)


def _check_set(stage: StageSubject, at: int, measured: EvalSet[object]) -> Iterator[Diagnostic]:
    sizes, samples = measured.k, measured.samples_per_prompt
    if not isinstance(sizes, tuple) or not isinstance(samples, int) or not sizes:
        return
    field, asked = said_at(stage, at, "k"), said_at(stage, at, "samples_per_prompt")
    if min(sizes) < 1:
        message = f"{min(sizes)} responses of {measured.name} cannot be looked at"
        label = stage.labels((field, "each k is at least 1"))
        ways = _smaller(stage, field, tuple(k for k in sizes if k >= 1))
        yield Diagnostic(CODE, message, label, ways, rule=ID, paths=(stage.path(field),))
    elif max(sizes) > samples:
        yield Diagnostic(
            CODE,
            f"{max(sizes):,} responses to each prompt of {measured.name} are looked at, and {samples:,} are sampled",
            stage.labels((asked, f"{samples:,} sampled"), (field, f"k = {max(sizes):,}")),
            alternatives(
                fix_set(stage, asked, max(sizes)), *_smaller(stage, field, tuple(k for k in sizes if 1 <= k <= samples))
            ),
            rule=ID,
            paths=(stage.path(field), stage.path(asked)),
        )


def _smaller(stage: StageSubject, field: str, sizes: tuple[int, ...]) -> tuple[Help, ...]:
    return (fix_set(stage, field, sizes),) if sizes else ()
