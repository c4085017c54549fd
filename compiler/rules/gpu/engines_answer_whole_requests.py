"""Engines answer whole requests.

What: no rollout engine is set to be one half of a pair of which one reads prompts and the other generates:
SGLang's `disaggregation_mode` "prefill" or "decode", vLLM's `kv_transfer_config` as a producer or consumer.
Why it matters: a plan starts all engines of a stage with the same settings and no router that pairs them. Engines that
only read prompts never answer, and engines that only generate wait for keys and values that nobody sends.
Example: `rollout.engine.sglang.disaggregation_mode = "prefill"`.
Fix: leave it out: every engine reads its prompts itself. A smaller `chunked_prefill_size` keeps long prompts from
holding up the sequences beside them.
Source: ENV-07; SGLang's `--disaggregation-mode`, vLLM's `KVTransferConfig.kv_role`.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.planner.engine_settings import path_of, setting_of

CODE = "RLC0543"
ID = "ENV-07"

_HALVES = (
    ("disaggregation_mode", ("prefill", "decode")),
    ("kv_transfer_config", ("kv_producer", "kv_consumer")),
)


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report engines that would be one half of a pair, once for stages that read the same."""
    seen: set[str] = set()
    for stage in subject.stages():
        if isinstance(stage.stage.rollout, Off):
            continue
        for key, halves in _HALVES:
            value = str(setting_of(stage, "rollout", key))
            half = next((one for one in halves if one in value), None)
            if half is None:
                continue
            path = path_of(stage, "rollout", key)
            shown = subject.shown(stage.path(path))
            if shown in seen:
                continue
            seen.add(shown)
            yield Diagnostic(
                CODE,
                f"all engines would be of the kind {half}, and none of the other half is there",
                stage.labels((path, "one half of a request")),
                (Help(f"delete {shown}: every engine reads its prompts itself", unsets=(shown,)),),
                rule=ID,
                paths=(stage.path(path),),
            )
