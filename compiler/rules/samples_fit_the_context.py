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

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.openness import Off
from compiler.ir.paths import read
from compiler.ir.rollout import Generation
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0307"
ID = "TOK-01"

MODEL = "model.max_position_tokens"
PROMPT = "rollout.max_prompt_tokens"
RESPONSE = "rollout.max_response_tokens"
CONTEXT = "rollout.max_context_tokens"


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
            ((CONTEXT, f"{bound:,} tokens in all"), (RESPONSE, "fills them")),
            _room_fixes(stage, response, bound=bound, longest=longest),
            longest if bound == longest else None,
        )
    elif isinstance(context, int) and (context > longest or prompt + response > context):
        message = f"prompt and response may take {prompt + response:,} tokens, the context has {context:,}"
        if context > longest:
            message = f"samples may take {context:,} tokens, the model was made for {longest:,}"
        yield _diagnostic(
            stage,
            message,
            (
                (PROMPT, f"{prompt:,} tokens of prompt"),
                (RESPONSE, f"and {response:,} of response: {prompt + response:,}"),
                (CONTEXT, f"{context:,} tokens in all"),
            ),
            _fixes(stage, prompt, response, bound=bound, longest=longest),
            longest if context > longest else None,
        )


def _room_fixes(stage: StageSubject, response: int, *, bound: int, longest: int) -> tuple[Help, ...]:
    """Where the prompt has what the response leaves over: a longer context, or a response of half of it."""
    ways: list[Help] = []
    if 2 * response <= longest and stage.written(CONTEXT):
        ways.append(stage.fix(CONTEXT, 2 * response))
    if bound >= 2:
        ways.append(_with_context(stage, stage.fix(RESPONSE, bound // 2), bound))
    return alternatives(*ways)


def _fixes(stage: StageSubject, prompt: int, response: int, *, bound: int, longest: int) -> tuple[Help, ...]:
    """The context first, if the model has room for both; then whichever of the two leaves room for the other."""
    ways: list[Help] = []
    if stage.written(CONTEXT) and prompt + response <= longest:
        ways.append(stage.fix(CONTEXT, prompt + response))
    if not stage.written(PROMPT) and bound > response:
        ways.append(stage.fix(CONTEXT, bound))
    else:
        room = ((RESPONSE, bound - prompt), (PROMPT, bound - response))
        ways += [_with_context(stage, stage.fix(field, left), bound) for field, left in room if left >= 1]
    return alternatives(*ways)


def _with_context(stage: StageSubject, way: Help, bound: int) -> Help:
    """The same way out, with the context at its bound where it is written beyond that."""
    context = read(stage.stage, CONTEXT)
    if not isinstance(context, int) or context <= bound or not stage.written(CONTEXT):
        return way
    more = stage.fix(CONTEXT, bound)
    return Help(f"{way.text} and {stage.shown(CONTEXT)} = {bound}", way.sets + more.sets)


def _diagnostic(
    stage: StageSubject, message: str, said: tuple[tuple[str, str], ...], fixes: tuple[Help, ...], longest: int | None
) -> Diagnostic:
    model = stage.subject.labels((MODEL, f"{longest:,} positions in the model")) if longest else ()
    own = stage.labels(*said)
    labels = (*(label._replace(is_primary=not own) for label in model), *own)
    paths = (MODEL, *(stage.path(path) for path, _ in said))
    return Diagnostic(CODE, message, labels, fixes, rule=ID, paths=paths)
