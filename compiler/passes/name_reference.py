"""Says which model the KL divergence is measured from."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.loss import PolicyLoss, PreferenceLoss
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage


def name_reference(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """A stage that estimates a KL divergence keeps the weights that it started from; others keep none."""

    def edit(editor: StageEditor) -> None:
        loss = editor.stage.algorithm.loss
        if isinstance(loss, PolicyLoss) and not isinstance(loss.kl.estimator, Off):
            editor.derive("reference", "stage_start", inputs=("loss.kl.estimator",))
        elif isinstance(loss, PreferenceLoss):
            editor.derive("reference", "stage_start", inputs=("algo.name",))
        else:
            inputs = ("loss.kl.estimator",) if isinstance(loss, PolicyLoss) else ("algo.name",)
            editor.derive("reference", OFF, inputs=inputs)

    return each_stage(experiment, origins, edit, by="name_reference")
