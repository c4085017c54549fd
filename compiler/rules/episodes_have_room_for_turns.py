"""An episode has room for a second turn.

What: where environment.max_turns is above 1, rollout.max_context_tokens holds the longest prompt, one turn and one
answer of the environment of full length, and a token more.
Why it matters: an episode ends where its context is full.  With less room the episodes with the longest turns never
hear an answer, and the policy is taught by a limit and not by the environment.
Example: `max_prompt_tokens = 512`, `max_response_tokens = 1024`, `max_context_tokens = 1536`.
Fix: rollout.max_context_tokens as large as several turns need, or a shorter environment.max_observation_tokens.
Source: EPI-04.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject

CODE = "RLC0383"
ID = "EPI-04"

_CONTEXT, _ANSWER = "rollout.max_context_tokens", "environment.max_observation_tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report contexts that one turn and its answer fill."""
    longest = subject.experiment.model.max_position_tokens
    for stage in subject.stages():
        rollout, environment = stage.stage.rollout, stage.stage.environment
        if isinstance(rollout, Off) or isinstance(environment, Off) or environment.max_turns == 1:
            continue
        prompt, response, context = rollout.max_prompt_tokens, rollout.max_response_tokens, rollout.max_context_tokens
        if not (isinstance(prompt, int) and isinstance(context, int)):
            continue
        answer = environment.max_observation_tokens
        needed = prompt + response + answer + 1
        if context >= needed:
            continue
        room = context - prompt - response - 1
        helps = [stage.fix(_CONTEXT, needed)] if needed <= longest else []
        helps += [stage.fix(_ANSWER, room)] if room >= 16 else []
        yield Diagnostic(
            CODE,
            f"{prompt:,} tokens of a prompt, {response:,} of a turn and {answer:,} of an answer leave no room for a "
            f"second turn in {context:,}",
            stage.labels(
                ("rollout.max_response_tokens", f"{response:,} of one turn"),
                (_ANSWER, f"{answer:,} of an answer"),
                (_CONTEXT, f"{context:,} in all"),
            ),
            tuple(helps) or (Help("shorten rollout.max_prompt_tokens or rollout.max_response_tokens"),),
            rule=ID,
            paths=(stage.path(_CONTEXT),),
        )
