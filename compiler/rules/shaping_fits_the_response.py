"""Shaping fits the responses.

What: the buffer of the overlong penalty is not longer than its limit, and the limit not beyond what a response may
take; a range that rewards are mapped from is not empty.
Why it matters: with a longer buffer every response is fined, however short; a limit that no response reaches fines none
of them; an empty range is a division by zero.
Example: `overlong.buffer_tokens = 4096` with `rollout.max_response_tokens = 2048`.
Fix: a buffer below the limit; DAPO has 4,096 of 20,480 tokens.
Source: REWARD-04; DAPO, arXiv:2503.14476, sec. 3.4.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Auto, Off
from compiler.ir.reward_settings import Overlong, Scale
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0343"
ID = "REWARD-04"

OVERLONG = "reward.shaping.overlong"
RESPONSE = "rollout.max_response_tokens"
SCALE = "reward.shaping.scale"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report buffers, limits and ranges that shape nothing, or everything."""
    for stage in subject.stages():
        reward, rollout = stage.stage.reward, stage.stage.rollout
        if isinstance(reward, Off) or isinstance(reward.shaping, Off):
            continue
        if isinstance(reward.shaping.scale, Scale):
            yield from _range(stage, reward.shaping.scale)
        if isinstance(reward.shaping.overlong, Overlong) and not isinstance(rollout, Off):
            yield from _lengths(stage, reward.shaping.overlong, rollout.max_response_tokens)


def _range(stage: StageSubject, scale: Scale) -> Iterator[Diagnostic]:
    if scale.source_min >= scale.source_max:
        message = f"rewards are mapped from the empty range {scale.source_min:g} to {scale.source_max:g}"
        said = ((f"{SCALE}.source_min", "the lower end"), (f"{SCALE}.source_max", "is not above it"))
        yield _diagnostic(stage, message, said, Help(f"set {stage.shown(f'{SCALE}.source_max')} above source_min"))


def _lengths(stage: StageSubject, overlong: Overlong[Auto], response: int) -> Iterator[Diagnostic]:
    most, buffer = overlong.max_tokens, overlong.buffer_tokens
    if isinstance(most, Auto) or isinstance(buffer, Auto):
        return
    if most > response:
        message = f"the overlong penalty is whole at {most:,} tokens, and a response has at most {response:,}"
        said = ((RESPONSE, f"at most {response:,}"), (f"{OVERLONG}.max_tokens", "never reached"))
        yield _diagnostic(stage, message, said, stage.fix(f"{OVERLONG}.max_tokens", response))
    elif buffer > most:
        message = f"the overlong penalty sets in {buffer:,} tokens before a limit of {most:,}"
        said = ((RESPONSE, f"the limit: {most:,}"), (f"{OVERLONG}.buffer_tokens", "every response is fined"))
        yield _diagnostic(stage, message, said, stage.fix(f"{OVERLONG}.buffer_tokens", max(1, most // 5)))


def _diagnostic(stage: StageSubject, message: str, said: tuple[tuple[str, str], ...], way: Help) -> Diagnostic:
    paths = tuple(stage.path(path) for path, _ in said)
    return Diagnostic(CODE, message, stage.labels(*said), (way,), rule=ID, paths=paths)
