"""The order in which an experiment is resolved.

Order is meaning, so it is written down here and nowhere else: a pass may rely on what stands above it.
"""

from __future__ import annotations

from collections.abc import Callable

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.provenance import Provenance
from compiler.passes.budget_micro_batches import budget_micro_batches
from compiler.passes.choose_engines import choose_engines
from compiler.passes.choose_layout import choose_layout
from compiler.passes.choose_tool_parser import choose_tool_parser
from compiler.passes.copy_clip_range import copy_clip_range
from compiler.passes.count_budget import count_budget
from compiler.passes.derive_seeds import derive_seeds
from compiler.passes.derive_timeouts import derive_timeouts
from compiler.passes.derive_token_limits import derive_token_limits
from compiler.passes.inherit_eval_sampling import inherit_eval_sampling
from compiler.passes.inherit_eval_settings import inherit_eval_settings
from compiler.passes.launch_engines import launch_engines
from compiler.passes.lay_out_gpus import lay_out_gpus
from compiler.passes.name_data_formats import name_data_formats
from compiler.passes.name_reference import name_reference
from compiler.passes.place_actors import place_actors
from compiler.passes.set_environment import set_environment
from compiler.passes.set_loss_constant import set_loss_constant
from compiler.passes.solve_equations import Further, solve_equations, solve_known
from compiler.passes.weigh_sequences import weigh_sequences
from compiler.planner.chosen import asked_for

Pass = Callable[[Experiment[Auto], Provenance, Catalogue], Experiment[Auto]]


class NamedPass(NamedTuple):
    """A pass under the name that origins show."""

    name: str
    run: Pass


PIPELINE: tuple[NamedPass, ...] = (
    NamedPass("lay_out_gpus", lay_out_gpus),
    NamedPass("solve_equations", solve_equations),
    NamedPass("derive_token_limits", derive_token_limits),
    NamedPass("inherit_eval_sampling", inherit_eval_sampling),
    NamedPass("inherit_eval_settings", inherit_eval_settings),
    NamedPass("copy_clip_range", copy_clip_range),
    NamedPass("set_loss_constant", set_loss_constant),
    NamedPass("choose_engines", choose_engines),
    NamedPass("choose_tool_parser", choose_tool_parser),
    NamedPass("budget_micro_batches", budget_micro_batches),
    NamedPass("weigh_sequences", weigh_sequences),
    NamedPass("name_reference", name_reference),
    NamedPass("name_data_formats", name_data_formats),
    NamedPass("derive_seeds", derive_seeds),
    NamedPass("choose_layout", choose_layout),
    NamedPass("place_actors", place_actors),
    NamedPass("set_environment", set_environment),
    NamedPass("launch_engines", launch_engines),
    NamedPass("count_budget", count_budget),
    NamedPass("derive_timeouts", derive_timeouts),
)


def run_pipeline(
    experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue, further: Further | None = None
) -> Experiment[Auto]:
    """Return the experiment with everything resolved that can be; the rules say what could not.

    Args:
        further: solves what the spec itself states, as soon as a pass has made it solvable.
    """
    origins.asked = asked_for(experiment, origins)
    if further is None:
        for step in PIPELINE:
            experiment = step.run(experiment, origins, catalogue)
        return experiment
    experiment = solve_known(experiment, origins, further)
    for step in PIPELINE:
        if step.run is solve_equations:
            experiment = solve_equations(experiment, origins, catalogue, further)
            continue
        experiment = step.run(experiment, origins, catalogue)
        solved = further(experiment, origins)
        if solved is not None:  # the others may follow from it
            experiment = solve_equations(solved, origins, catalogue, further)
    return experiment
