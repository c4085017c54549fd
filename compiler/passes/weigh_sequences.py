"""Counts what a sequence costs the trainer, where micro-batches are to cost the same.

The runtime balances by these two numbers and counts nothing itself, so a plan says what its cut depends on.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF, Auto
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage
from compiler.planner.time.flops import sequence_flops

_FIELD, _BALANCE = "train.packing.flops", "train.packing.balance"


def weigh_sequences(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Fill train.packing.flops."""

    def edit(editor: StageEditor) -> None:
        if not editor.is_open(_FIELD):
            return
        if editor.stage.train.packing.balance != "flops":
            editor.derive(_FIELD, OFF, inputs=(_BALANCE,))
            return
        flops = sequence_flops(experiment.model)
        editor.derive(_FIELD, flops, inputs=(_BALANCE,))
        for name in type(flops).fields():
            editor.derive(f"{_FIELD}.{name}", getattr(flops, name), inputs=(_BALANCE, "/model.hidden_size"))

    return each_stage(experiment, origins, edit, by="weigh_sequences")
