"""Engines answer whole requests.

What: no engine of vLLM is set to be one half of a pair of which one reads prompts and the other generates, by its
`kv_transfer_config` as a producer or consumer.
Why it matters: a plan starts all engines of vLLM with the same settings and nothing that pairs them. Engines that only
read prompts never answer, and engines that only generate wait for keys and values that nobody sends.
Example: `rollout.engine.vllm.kv_transfer_config` with `"kv_role": "kv_producer"`.
Fix: leave it out: every engine reads its prompts itself. Engines of SGLang can be of two kinds, by
`[placement.disaggregation]`.
Source: ENV-07; vLLM's `KVTransferConfig.kv_role`.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.planner.engine_settings import path_of, setting_of

CODE = "RLC0543"
ID = "ENV-07"

_KEY = "kv_transfer_config"
_HALVES = ("kv_producer", "kv_consumer")


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report engines that would be one half of a pair, once for stages that read the same."""
    seen: set[str] = set()
    for stage in subject.stages():
        if isinstance(stage.stage.rollout, Off):
            continue
        value = str(setting_of(stage, "rollout", _KEY))
        half = next((one for one in _HALVES if one in value), None)
        path = path_of(stage, "rollout", _KEY)
        shown = subject.shown(stage.path(path))
        if half is None or shown in seen:
            continue
        seen.add(shown)
        yield Diagnostic(
            CODE,
            f"all engines would be of the kind {half}, and none of the other half is there",
            stage.labels((path, "one half of a request")),
            (Help(f"delete {shown}: every engine reads its prompts itself"),),
            rule=ID,
            paths=(stage.path(path),),
        )
