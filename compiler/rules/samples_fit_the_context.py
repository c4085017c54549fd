"""Samples fit the context.

What: longest prompt + longest response <= context <= the positions that the model was made for.
Why it matters: a prompt that leaves no room for its response is truncated or refused by the engine, minutes into the
run; positions beyond the trained ones give noise.
Example: `max_prompt_tokens = 2048`, `max_response_tokens = 8192`, `max_context_tokens = 8192`.
Fix: raise the context or lower one of the two; the message has the numbers.
Source: TOK-01.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.rollout import Generation
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0307"
ID = "TOK-01"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report prompts, responses and contexts that do not fit into each other."""
    longest = subject.experiment.model.max_position_tokens
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if not isinstance(rollout, Off):
            yield from _check_stage(stage, rollout, longest)


def _check_stage(stage: StageSubject, rollout: Generation[object], longest: int) -> Iterator[Diagnostic]:
    prompt, context, response = rollout.max_prompt_tokens, rollout.max_context_tokens, rollout.max_response_tokens
    bound = min(context, longest) if isinstance(context, int) else longest
    if not isinstance(prompt, int):
        yield _diagnostic(
            stage,
            f"a response of {response:,} tokens leaves no room for a prompt in {bound:,} tokens",
            (("rollout.max_context_tokens", f"{bound:,} tokens in all"), ("rollout.max_response_tokens", "fills them")),
            (stage.fix("rollout.max_response_tokens", max(1, bound // 2)),),
        )
    elif isinstance(context, int) and prompt + response > context:
        room = context - prompt
        fixes = (stage.fix("rollout.max_response_tokens", room),) if room >= 1 else ()
        if prompt + response <= longest:
            fixes = (stage.fix("rollout.max_context_tokens", prompt + response), *fixes)
        yield _diagnostic(
            stage,
            f"prompt and response may take {prompt + response:,} tokens, the context has {context:,}",
            (
                ("rollout.max_prompt_tokens", f"{prompt:,} tokens of prompt"),
                ("rollout.max_response_tokens", f"and {response:,} of response: {prompt + response:,}"),
                ("rollout.max_context_tokens", f"{context:,} tokens in all"),
            ),
            fixes,
        )
    elif isinstance(context, int) and context > longest:
        fixes = (stage.fix("rollout.max_response_tokens", longest - prompt),) if longest > prompt else ()
        yield _diagnostic(
            stage,
            f"samples may take {context:,} tokens, the model was made for {longest:,}",
            (
                ("rollout.max_prompt_tokens", f"{prompt:,} tokens of prompt"),
                ("rollout.max_response_tokens", f"{response:,} tokens of response"),
                ("rollout.max_context_tokens", f"{context:,} tokens in all"),
            ),
            fixes,
        )


def _diagnostic(
    stage: StageSubject, message: str, said: tuple[tuple[str, str], ...], fixes: tuple[Help, ...]
) -> Diagnostic:
    model = (("model.max_position_tokens", "positions of the model"),)
    return Diagnostic(
        CODE,
        message,
        (*stage.subject.labels(*model)[:1], *stage.labels(*said)) if not stage.labels(*said) else stage.labels(*said),
        fixes,
        rule=ID,
        paths=tuple(stage.path(path) for path, _ in said),
    )
