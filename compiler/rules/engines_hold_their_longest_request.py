"""The cache of the engine `native` holds its longest request, and no other engine reads its settings.

What: `rollout.engine.cache_tokens` is at least rollout.max_context_tokens, and `cache_tokens`, `prefill_tokens` and
`deterministic` are set where the engine is `native` alone.
Why it matters: a request whose keys and values do not fit is refused when it comes, in the middle of a run.  Engines
that are not rlc's own size their caches by themselves and have modes of their own, so these would change nothing.
Example: `engine.cache_tokens = 512` with `max_prompt_tokens = 512` and `max_response_tokens = 512`.
Fix: a larger cache, or none: it is then as large as all sequences at their longest.
Source: rlc itself; a request that never fits waits for ever in engines that do not say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.openness import OFF, Off
from compiler.ir.paths import read
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0375"
ID = ""

_CACHE, _CONTEXT = "rollout.engine.cache_tokens", "rollout.max_context_tokens"
_DETERMINISTIC = "rollout.engine.deterministic"
_ELSEWHERE = {
    _CACHE: "sizes its cache by itself",
    "rollout.engine.prefill_tokens": "takes prompts in by itself",
    _DETERMINISTIC: "has a setting of its own, if it has the mode",
}


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report caches that are too small, and settings that another engine does not read."""
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
    for path, said in _ELSEWHERE.items():
        if stage.written(path) and read(stage.stage, path) not in (OFF, False):
            yield Diagnostic(
                CODE,
                f"{path} is a setting of the engine native, and this stage generates with {engine}",
                stage.labels((path, f"{engine} {said}")),
                (stage.fix(path, False if path == _DETERMINISTIC else OFF),),
                rule=ID,
                paths=(stage.path(path),),
            )
