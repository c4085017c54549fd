"""Evaluated responses fit the context.

What: the longest prompt and the longest response of a held-out set stay within the context of the rollout engine.
Why it matters: an engine ends a sequence at its context; a response that is cut off before its answer counts as wrong,
and the set seems harder than it is.
Example: `eval.max_response_tokens = "32Ki"` with `rollout.max_response_tokens = "8Ki"`, whose context follows from it.
Fix: `rollout.max_context_tokens` as large as both need, or a shorter response.
Source: EVAL-05; slime's eval-max-context-len is a setting of its own for this reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.rollout import Generation
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._eval_sets import eval_sets, fix_set, said_at

CODE = "RLC0374"
ID = "EVAL-05"

PROMPT = "rollout.max_prompt_tokens"
CONTEXT = "rollout.max_context_tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report sets whose responses are longer than what is left of the context."""
    longest = subject.experiment.model.max_position_tokens
    for stage, at, measured in eval_sets(subject):
        rollout, response = stage.stage.rollout, measured.max_response_tokens
        if isinstance(response, int) and not isinstance(rollout, Off):
            yield from _check_set(stage, rollout, at, response, longest)


def _check_set(
    stage: StageSubject, rollout: Generation[object], at: int, response: int, longest: int
) -> Iterator[Diagnostic]:
    field = said_at(stage, at, "max_response_tokens")
    prompt, context = rollout.max_prompt_tokens, rollout.max_context_tokens
    # What follows from [rollout] is judged there.
    if not stage.written(field) or not isinstance(prompt, int) or not isinstance(context, int):
        return
    if prompt + response > context:
        ways: list[Help] = []
        if prompt + response <= longest:
            ways.append(stage.fix(CONTEXT, prompt + response))
        if context > prompt:
            ways.append(fix_set(stage, field, context - prompt))
        yield Diagnostic(
            CODE,
            f"prompt and evaluated response may take {prompt + response:,} tokens, the context has {context:,}",
            stage.labels(
                (PROMPT, f"{prompt:,} tokens of prompt"),
                (CONTEXT, f"{context:,} in all"),
                (field, f"{response:,} more"),
            ),
            alternatives(*ways),
            rule=ID,
            paths=(stage.path(field), stage.path(PROMPT), stage.path(CONTEXT)),
        )
