"""An engine takes in its longest sequence.

What: with vLLM, where prompts are not taken in pieces (`enable_chunked_prefill = false`), `max_num_batched_tokens` is
at least rollout.max_context_tokens; and in any case at least rollout.concurrency, a token of each sequence.
Why it matters: the engine refuses to start, after the weights have been read.
Example: `max_num_batched_tokens = 4096` without chunked prefill, for samples of up to 8,192 tokens.
Fix: raise it, or leave both out: the engine then chooses.  SGLang raises its own bound to the context by itself.
Source: TOK-05; TRL#3788; vLLM's SchedulerConfig.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.planner.engine_settings import number_of, path_of, setting_of

CODE = "RLC0524"
ID = "TOK-05"
_AT_ONCE, _IN_PIECES = "max_num_batched_tokens", "enable_chunked_prefill"
_CONTEXT, _SEQUENCES = "rollout.max_context_tokens", "rollout.concurrency"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report bounds below one sequence, or below one token of each."""
    seen: set[tuple[float, object]] = set()
    for stage in subject.stages():
        rollout, tokens = stage.stage.rollout, number_of(stage, "rollout", _AT_ONCE)
        if isinstance(rollout, Off) or tokens is None:
            continue
        longest, sequences = rollout.max_context_tokens, rollout.concurrency
        is_whole = setting_of(stage, "rollout", _IN_PIECES) is False
        need, said = 0, (_CONTEXT, "")
        if is_whole and isinstance(longest, int) and tokens < longest:
            need, said = longest, (_CONTEXT, f"a sequence may have {longest:,}")
        elif isinstance(sequences, int) and tokens < sequences:
            need, said = sequences, (_SEQUENCES, f"{sequences:,} sequences, a token of each")
        if need and (tokens, need) not in seen:
            seen.add((tokens, need))
            yield _diagnostic(stage, int(tokens), need, said)


def _diagnostic(stage: StageSubject, tokens: int, need: int, said: tuple[str, str]) -> Diagnostic:
    bound, pieces = path_of(stage, "rollout", _AT_ONCE), path_of(stage, "rollout", _IN_PIECES)
    return Diagnostic(
        CODE,
        f"the engine takes in {tokens:,} tokens at once and needs {need:,}",
        stage.labels(said, (pieces, "not in pieces"), (bound, f"{tokens:,} tokens")),
        (stage.fix(bound, need),),
        rule=ID,
        paths=(stage.path(bound), stage.path(said[0])),
    )
