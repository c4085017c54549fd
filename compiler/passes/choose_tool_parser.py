"""Chooses how calls of tools are read where nobody says it: as models of the family write them."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.environment import TOOLS
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage

_PARSERS = {
    "qwen2": "hermes",
    "qwen3": "hermes",
    "qwen3_moe": "hermes",
    "llama": "llama3_json",
    "glm4": "glm4",
    "glm4_moe": "glm4_5",
    "glm4_moe_lite": "glm4_5",
    "kimi_k2": "kimi_k2",
    "minimax_m2": "minimax_m2",
    "qwen3_next": "hermes",
    "deepseek_v3": "deepseek_v3",
}


def choose_tool_parser(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Fill an open environment.parser: off where the environment reads no calls."""
    family = experiment.model.family

    def edit(editor: StageEditor) -> None:
        environment = editor.stage.environment
        if isinstance(environment, Off) or not editor.is_open("environment.parser"):
            return
        if environment.name != TOOLS:
            editor.derive("environment.parser", OFF, inputs=("environment.name",))
        elif str(family) in _PARSERS:
            editor.derive("environment.parser", _PARSERS[str(family)], inputs=("/model.family",))

    return each_stage(experiment, origins, edit, by="choose_tool_parser")
