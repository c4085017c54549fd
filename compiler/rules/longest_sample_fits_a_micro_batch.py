"""The longest legal sample fits a micro-batch.

What: rollout.max_context_tokens <= train.packing.tokens, for training and for log-probs.
Why it matters: a sample that no micro-batch can hold is dropped, truncated or runs out of memory, at the first long
response and not before.
Example: samples of up to 10,240 tokens with `train.packing.tokens = 8192`.
Fix: raise the token budget to the longest sample, or lower the sample.
Source: TOK-02.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0308"
ID = "TOK-02"

_LENGTHS = ("rollout.max_prompt_tokens", "rollout.max_response_tokens", "rollout.max_context_tokens")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report token budgets below the longest sample; how long demonstrations are, only the data says."""
    for stage in subject.stages():
        budget, rollout = stage.stage.train.packing.tokens, stage.stage.rollout
        if not isinstance(budget, int) or isinstance(rollout, Off) or not isinstance(rollout, Rollout):
            continue
        longest = rollout.max_context_tokens
        if isinstance(longest, int) and longest > budget:
            yield Diagnostic(
                CODE,
                f"a sample may take {longest:,} tokens, a micro-batch holds {budget:,}",
                stage.labels(
                    ("rollout.max_context_tokens", f"samples of up to {longest:,} tokens"),
                    ("rollout.max_response_tokens", f"samples of up to {longest:,} tokens with their prompt"),
                    ("train.packing.tokens", f"{budget:,} tokens"),
                ),
                alternatives(stage.fix("train.packing.tokens", longest), *_shorter(stage, rollout, budget)),
                rule=ID,
                paths=tuple(stage.path(field) for field in ("train.packing.tokens", *_LENGTHS)),
            )


def _shorter(stage: StageSubject, rollout: Rollout[object], budget: int) -> tuple[Help, ...]:
    """A shorter response, where the prompt leaves room for one and nothing else fixes the context."""
    prompt = rollout.max_prompt_tokens
    if not stage.written("rollout.max_prompt_tokens") or stage.written("rollout.max_context_tokens"):
        return ()
    if not isinstance(prompt, int) or prompt >= budget:
        return ()
    return (stage.fix("rollout.max_response_tokens", budget - prompt),)
