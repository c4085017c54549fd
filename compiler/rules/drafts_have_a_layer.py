"""Drafts are made by a layer that the engine has.

What: where [rollout.speculation] is set, the stage generates with the engine `native`, not in its deterministic mode,
and the model has one layer that predicts a further token, of an architecture of which the target holds it.
Why it matters: without such a layer nothing drafts.  A second layer reads what the first one hands on, of tokens that
were drafted and not kept, too, and no published model has one.  In the deterministic mode a token is computed in tiles
of one token a sequence, and a run of several would have other bits.
Example: `[rollout.speculation]` with a model of Qwen3, whose checkpoints have no such layer.
Fix: leave [rollout.speculation] out; tokens are the same without it.
Source: arXiv:2412.19437, section 2.2; SGLang and vLLM apply the one layer of such a model again for further drafts.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0391"
ID = "PAR-04"
_FIELD = "rollout.speculation"
_ELSEWHERE = "SGLang drafts by settings of its own: rollout.engine.sglang.speculative_algorithm"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report the first thing that drafts lack, of each stage that asks for them."""
    for stage in subject.stages():
        if not isinstance(stage.stage.rollout, Off) and not isinstance(stage.stage.rollout.speculation, Off):
            yield from _check_stage(stage, str(stage.stage.rollout.engine.name))


def _check_stage(stage: StageSubject, engine: str) -> Iterator[Diagnostic]:
    subject, rollout = stage.subject, stage.stage.rollout
    model = subject.experiment.model
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    if engine != "native":
        more = _ELSEWHERE if engine == "sglang" else ""
        message = f"the engine native drafts tokens, and this stage generates with {engine}"
        yield _diagnostic(stage, message, "rollout.engine.name", more)
    elif not isinstance(rollout, Off) and rollout.engine.deterministic:
        message = "the deterministic mode computes one token of a sequence at a time, and drafts several"
        yield _diagnostic(stage, message, "rollout.engine.deterministic")
    elif model.num_mtp_layers != 1:
        has = "none" if model.num_mtp_layers == 0 else str(model.num_mtp_layers)
        message = f"one layer for further tokens drafts, and the model has {has}"
        yield _diagnostic(stage, message, "model.num_mtp_layers")
    elif model.family not in target.mtp_families:
        known = ", ".join(target.mtp_families)
        message = f"target {target.name} does not hold the layers for further tokens of {model.family}"
        yield _diagnostic(stage, message, "model.family", f"it holds those of: {known}" if known else "")


def _diagnostic(stage: StageSubject, message: str, other: str, more: str = "") -> Diagnostic:
    is_model = other.startswith("model.")
    path = other if is_model else stage.path(other)
    about = [("model.name", "this model")] if is_model else []
    about += [(path, "says so")]
    asks = ((stage.path(at), "asks for drafts") for at in (_FIELD, f"{_FIELD}.num_draft_tokens", f"{_FIELD}.method"))
    labels = stage.subject.labels(*about, *asks)
    ways = (Help(f"leave [{stage.shown(_FIELD)}] out"), *((Help(more),) if more else ()))
    return Diagnostic(CODE, message, labels, ways, rule=ID, paths=(stage.path(_FIELD), path))
