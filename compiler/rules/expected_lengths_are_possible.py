"""Lengths that are expected can occur.

What: `rollout.expected_response_tokens` is at most `rollout.max_response_tokens`; `expected_p90_response_tokens` is set
beside it, lies above it, and is at most the limit too.  `data.expected_sample_tokens` is at most what the model has
positions for, or twice that of a pair.  `environment.expected_turns` is at most `environment.max_turns`, and beside
`expected_turn_s`.
Why it matters: the forecast of a step's time takes the mean and the tail from them.  A mean above the limit has no
distribution that is cut there, and a tail without a mean none at all; turns of no length take no time.
Example: `max_response_tokens = 4096` with `expected_response_tokens = 6000`.
Fix: what was measured, or nothing: half of the limit is then assumed.
Source: rlc itself; docs/guides/time.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.data import PreferenceData, Samples
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0410"
ID = ""
_MEAN, _P90 = "rollout.expected_response_tokens", "rollout.expected_p90_response_tokens"
_SAMPLE = "data.expected_sample_tokens"
_TURNS, _TURN_S = "environment.expected_turns", "environment.expected_turn_s"
_MOST = "rollout.max_response_tokens"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report lengths above the limit, and tails below their mean or without one."""
    positions = subject.experiment.model.max_position_tokens
    for stage in subject.stages():
        data, rollout = stage.stage.data, stage.stage.rollout
        yield from _turns(stage)
        if isinstance(data, Samples) and not isinstance(data.expected_sample_tokens, Off):
            most, asked = positions * (2 if isinstance(data, PreferenceData) else 1), data.expected_sample_tokens
            if asked > most:
                yield Diagnostic(
                    CODE,
                    f"samples of {asked:,} tokens are expected, and none may have more than {most:,}",
                    stage.labels((_SAMPLE, "longer than any may be")),
                    (stage.fix(_SAMPLE, most // 2),),
                    rule=ID,
                    paths=(stage.path(_SAMPLE),),
                )
        if not isinstance(rollout, Rollout):
            continue
        mean, p90, most = (
            rollout.expected_response_tokens,
            rollout.expected_p90_response_tokens,
            rollout.max_response_tokens,
        )
        for path, length in ((_MEAN, mean), (_P90, p90)):
            if not isinstance(length, Off) and length > most:
                yield _above(stage, path, length, most)
        if isinstance(p90, Off):
            continue
        if isinstance(mean, Off):
            yield Diagnostic(
                CODE,
                f"nine responses in ten are expected within {p90:,} tokens, and nothing says what their mean is",
                stage.labels((_P90, "a tail without a mean")),
                (stage.fix(_MEAN, max(1, p90 // 2)),),
                rule=ID,
                paths=(stage.path(_P90), stage.path(_MEAN)),
            )
        elif p90 < mean:
            yield Diagnostic(
                CODE,
                f"nine responses in ten are expected within {p90:,} tokens, which is less than their mean of {mean:,}",
                stage.labels((_MEAN, f"{mean:,} on average"), (_P90, f"{p90:,} at nine in ten")),
                (stage.fix(_P90, min(most, 2 * mean)),),
                rule=ID,
                paths=(stage.path(_P90), stage.path(_MEAN)),
            )


def _turns(stage: StageSubject) -> Iterator[Diagnostic]:
    environment = stage.stage.environment
    if isinstance(environment, Off) or isinstance(environment.expected_turns, Off):
        return
    turns, most = environment.expected_turns, environment.max_turns
    if turns > most:
        yield Diagnostic(
            CODE,
            f"{turns:,} turns of an episode are expected, and none may have more than {most:,}",
            stage.labels((_TURNS, "more than any may have")),
            (stage.fix(_TURNS, most),),
            rule=ID,
            paths=(stage.path(_TURNS),),
        )
    elif isinstance(environment.expected_turn_s, Off):
        yield Diagnostic(
            CODE,
            f"{turns:,} turns of an episode are expected, and nothing says how long the environment takes for one",
            stage.labels((_TURNS, "turns of no length")),
            (stage.fix(_TURN_S, 1.0),),
            rule=ID,
            paths=(stage.path(_TURNS), stage.path(_TURN_S)),
        )


def _above(stage: StageSubject, path: str, length: int, most: int) -> Diagnostic:
    return Diagnostic(
        CODE,
        f"responses of {length:,} tokens are expected, and none may have more than {most:,}",
        stage.labels((_MOST, f"at most {most:,}"), (path, f"{length:,} expected")),
        (stage.fix(path, most),),
        rule=ID,
        paths=(stage.path(path), stage.path(_MOST)),
    )
