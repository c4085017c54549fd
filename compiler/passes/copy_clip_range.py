"""Makes the clip range symmetric where only its lower half is given."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.paths import read
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage


def copy_clip_range(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Copy loss.clip_low to an open loss.clip_high."""

    def edit(editor: StageEditor) -> None:
        if editor.is_open("loss.clip_high"):
            editor.derive("loss.clip_high", read(editor.stage, "loss.clip_low"), inputs=("loss.clip_low",))

    return each_stage(experiment, origins, edit, by="copy_clip_range")
