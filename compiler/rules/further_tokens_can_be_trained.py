"""Layers for further tokens can be trained.

What: where [train.mtp] is set, the model has layers that predict further tokens (`model.num_mtp_layers`), they are of
an architecture of which the target trains them, and the stage learns from sequences: demonstrations, or what it
samples.
Why it matters: without such layers nothing is trained, and pairs of answers or scores say nothing of the tokens that
come after the next one; of a rejected answer they would even be learnt.
Example: `[train.mtp]` with a model of Qwen3, whose checkpoints have no such layers.
Fix: leave [train.mtp] out.
Source: arXiv:2412.19437, section 2.2; slime: --enable-mtp-training needs --mtp-num-layers; targets/<name>/target.toml.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.loss import PreferenceLoss, ScoreLoss
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject

CODE = "RLC0390"
ID = "PAR-04"
_FIELD = "train.mtp"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report the first thing that training of these layers lacks, of each stage that asks for it."""
    for stage in subject.stages():
        if not isinstance(stage.stage.train.mtp, Off):
            yield from _check_stage(stage)


def _check_stage(stage: StageSubject) -> Iterator[Diagnostic]:
    subject = stage.subject
    model, loss = subject.experiment.model, stage.stage.algorithm.loss
    target = subject.catalogue.load_target(subject.experiment.cluster.target)
    if isinstance(loss, PreferenceLoss | ScoreLoss):
        what = "pairs of answers" if isinstance(loss, PreferenceLoss) else "scores"
        yield _diagnostic(stage, f"a stage that learns from {what} trains no layers for further tokens", "algo.name")
    elif model.num_mtp_layers == 0:
        message = "layers for further tokens are trained, and the model has none"
        yield _diagnostic(stage, message, "model.num_mtp_layers")
    elif model.family not in target.mtp_families:
        known = ", ".join(target.mtp_families)
        message = f"target {target.name} does not train the layers for further tokens of {model.family}"
        yield _diagnostic(stage, message, "model.family", f"it trains those of: {known}" if known else "")


def _diagnostic(stage: StageSubject, message: str, other: str, more: str = "") -> Diagnostic:
    is_model = other.startswith("model.")
    path = other if is_model else stage.path(other)
    about = ("model.name", "this model") if is_model else (path, "such a stage")
    asks = ((stage.path(at), "asks for it") for at in (_FIELD, f"{_FIELD}.loss_coef", f"{_FIELD}.trains_trunk"))
    labels = stage.subject.labels(about, *asks)
    ways = (Help(f"leave [{stage.shown(_FIELD)}] out"), *((Help(more),) if more else ()))
    return Diagnostic(CODE, message, labels, ways, rule=ID, paths=(stage.path(_FIELD), path))
