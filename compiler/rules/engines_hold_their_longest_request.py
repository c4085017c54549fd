"""The cache of the engine `native` holds its longest request, and no other engine reads its limits.

What: `rollout.engine.cache_tokens` is at least rollout.max_context_tokens, and `cache_tokens` and `prefill_tokens` are
set where the engine is `native` alone.
Why it matters: a request whose keys and values do not fit is refused when it comes, in the middle of a run.  Engines
that are not rlc's own size their caches by themselves, so the settings would change nothing.
Example: `engine.cache_tokens = 512` with `max_prompt_tokens = 512` and `max_response_tokens = 512`.
Fix: a larger cache, or none: it is then as large as all sequences at their longest.
Source: rlc itself; a request that never fits waits for ever in engines that do not say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.paths import read
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0375"
ID = ""

_CACHE, _CONTEXT = "rollout.engine.cache_tokens", "rollout.max_context_tokens"
_LIMITS = (_CACHE, "rollout.engine.prefill_tokens")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report caches that are too small, and limits that another engine does not read."""
    for stage in subject.stages():
        rollout = stage.stage.rollout
        if isinstance(rollout, Off):
            continue
        if rollout.engine.name != "native":
            yield from _check_other(stage, str(rollout.engine.name))
            continue
        held, longest = rollout.engine.cache_tokens, rollout.max_context_tokens
        if isinstance(held, int) and isinstance(longest, int) and held < longest:
            yield Diagnostic(
                CODE,
                f"the cache holds {held:,} tokens, and one sequence has up to {longest:,}",
                stage.labels((_CONTEXT, f"{longest:,} tokens of one sequence"), (_CACHE, f"{held:,} in all")),
                (stage.fix(_CACHE, longest),),
                rule=ID,
                paths=(stage.path(_CACHE), stage.path(_CONTEXT)),
            )


def _check_other(stage: StageSubject, engine: str) -> Iterator[Diagnostic]:
    for path in _LIMITS:
        if stage.written(path) and not isinstance(read(stage.stage, path), Off):
            yield Diagnostic(
                CODE,
                f"{path} is a setting of the engine native, and this stage generates with {engine}",
                stage.labels((path, f"{engine} sizes its cache by itself")),
                (Help("delete it", removes=True),),
                rule=ID,
                paths=(stage.path(path),),
            )
