"""Chooses the target's default engine where a stage names none, and the version that the target pins."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.paths import read
from compiler.ir.provenance import Origin, Provenance
from compiler.ir.training import Fsdp2
from compiler.passes._each_stage import StageEditor, each_stage


def choose_engines(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Fill rollout.engine and train.engine with the first engine that the target lists, and its version."""
    target = catalogue.load_target(experiment.cluster.target)

    def edit(editor: StageEditor) -> None:
        for role, engines in (("rollout", target.rollout_engines), ("train", target.train_engines)):
            if editor.is_open(f"{role}.engine.name"):
                editor.derive(f"{role}.engine.name", engines[0], inputs=("/cluster.target",))
            if editor.is_open(f"{role}.engine.version"):
                version = target.version_of(str(read(editor.stage, f"{role}.engine.name"))) or OFF
                inputs = ("/cluster.target", f"{role}.engine.name")
                editor.derive(f"{role}.engine.version", version, inputs=inputs)
        if editor.stage.train.engine.name == "fsdp2" and isinstance(editor.stage.train.engine.fsdp2, Off):
            editor.derive("train.engine.fsdp2", Fsdp2(), inputs=("train.engine.name",))
            for field in Fsdp2.fields():
                origins.record(f"stages.{editor.index}.train.engine.fsdp2.{field}", Origin("default"))

    return each_stage(experiment, origins, edit, by="choose_engines")
