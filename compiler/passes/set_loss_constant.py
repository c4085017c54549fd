"""Says by how many tokens the sum of a response is divided where the loss is a sum over a constant."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import read
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage


def set_loss_constant(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Copy rollout.max_response_tokens to an open loss.constant_tokens."""

    def edit(editor: StageEditor) -> None:
        if editor.is_open("loss.constant_tokens") and editor.has("rollout.max_response_tokens"):
            longest = read(editor.stage, "rollout.max_response_tokens")
            editor.derive("loss.constant_tokens", longest, inputs=("rollout.max_response_tokens",))

    return each_stage(experiment, origins, edit, by="set_loss_constant")
