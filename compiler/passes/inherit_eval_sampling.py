"""Lets evaluation sample as the rollout does, where it does not say otherwise."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.data import Eval
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import read
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage


def inherit_eval_sampling(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Copy each open field of [eval.sampling] from [rollout.sampling]."""

    def edit(editor: StageEditor) -> None:
        if not isinstance(editor.stage.eval, Eval):
            return
        for name in ("temperature", "top_p", "top_k"):
            source = f"rollout.sampling.{name}"
            if editor.is_open(f"eval.sampling.{name}"):
                value = read(editor.stage, source)
                editor.derive(f"eval.sampling.{name}", value, inputs=(source,), kind="inherited")

    return each_stage(experiment, origins, edit, by="inherit_eval_sampling")
