"""Says how the rows of each source are stored, where the spec does not."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.data import TextSource
from compiler.ir.evaluated import held_out_lists
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage

_BY_SUFFIX = {"jsonl": "jsonl", "ndjson": "jsonl", "parquet": "parquet"}


def name_data_formats(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Close the format of every source: by the suffix of its path, or by what else it names.

    A path without a suffix is a folder that `datasets` saved.  Other suffixes are left open; a rule says so.
    """

    def edit(editor: StageEditor) -> None:
        stage = editor.stage
        sources: list[tuple[str, TextSource[Auto]]] = [
            (f"data.train.{i}", one) for i, one in enumerate(stage.data.train)
        ]
        for name, sets in held_out_lists(stage.eval):
            sources += [(f"eval.{name}.{i}", one) for i, one in enumerate(sets)]
        for path, source in sources:
            if not isinstance(source.format, Auto):
                continue
            if isinstance(source.path, str):
                suffix = source.path.rpartition("/")[2].rpartition(".")
                found = _BY_SUFFIX.get(suffix[2].lower()) if suffix[1] else "arrow"
                if found is not None:
                    editor.derive(f"{path}.format", found, inputs=(f"{path}.path",))
            elif isinstance(source.hub, str):
                editor.derive(f"{path}.format", "hub", inputs=(f"{path}.hub",))
            elif isinstance(source.function, str):
                editor.derive(f"{path}.format", "function", inputs=(f"{path}.function",))

    return each_stage(experiment, origins, edit, by="name_data_formats")
