"""What a spec, a recipe or a policy requires, said of one stage, and how a statement comes to be a Statement.

A requirement that names fields of a stage is said of every stage that has them; one that names none, or a stage by its
name, is said once.  What a spec or a recipe requires has to be about something: RLC0327 where no stage has the field.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from compiler.constraints.evaluate import Surroundings, Use, uses
from compiler.constraints.expression import Expression, read_expression
from compiler.constraints.names import AbsentError, Names
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.requirements import Requirement
from compiler.frontend.starlark.nodes import Node
from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.openness import Auto
from compiler.ir.record import Record

NEVER_JUDGED = "RLC0327"


class Statement(NamedTuple):
    """A requirement as it is said of one stage, with the fields that it names; `is_policy` tells who says it."""

    requirement: Requirement
    expression: Expression
    stage: int | None
    uses: tuple[Use, ...]
    is_policy: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """The paths of the fields, each once."""
        return tuple(dict.fromkeys(use.path for use in self.uses))

    def equations(self) -> Iterator[Node]:
        """Yield the equalities that must all hold."""
        for node in conjuncts(self.expression.tree):
            if node[0] == "compare" and node[3] == "==":
                yield node

    def paths_of(self, node: Node) -> tuple[str, ...]:
        """Return the paths of the fields that one node names, each once."""
        inside = (use for use in self.uses if node[1] <= use.node[1] and use.node[2] <= node[2])
        return tuple(dict.fromkeys(use.path for use in inside))


class Setting(NamedTuple):
    """What statements are judged in: the catalogue, the cache of trees, and whether stages are listed."""

    catalogue: Catalogue
    has_stage_list: bool

    @property
    def cache(self) -> Path | None:
        """The folder for trees."""
        return self.catalogue.cache

    def names(self, experiment: Experiment[Auto], stage: int | None, forecast: Record | None = None) -> Names:
        """Return the names that an expression of a stage may use; of the only stage if it is of none."""
        if stage is None and len(experiment.stages) == 1:
            stage = 0
        return Names(experiment, stage, self.has_stage_list, forecast)


def read_statements(
    requirements: Sequence[Requirement],
    experiment: Experiment[Auto],
    setting: Setting,
    reporter: Reporter,
    forecast: Record | None = None,
) -> tuple[Statement, ...]:
    """Return what is said of each stage; reports faults of syntax, RLC0221 for unknown names, and RLC0327.

    Args:
        forecast: what is predicted, where requirements are those of a policy.
    """
    found: list[Statement] = []
    for requirement in requirements:
        value = requirement.text
        try:
            expression = read_expression(value, requirement.span, setting.cache, inside=(0, len(value)))
            found += _of_stages(requirement, expression, setting, experiment, forecast)
        except SpecError as fault:
            for diagnostic in fault.diagnostics:
                reporter.add(diagnostic)
    return tuple(found)


def conjuncts(tree: Node) -> Iterator[Node]:
    """Yield the parts of an expression that must all be true."""
    if tree[0] == "and":
        yield from conjuncts(tree[3])
        yield from conjuncts(tree[4])
    else:
        yield tree


def _of_stages(
    requirement: Requirement,
    expression: Expression,
    setting: Setting,
    experiment: Experiment[Auto],
    forecast: Record | None,
) -> Iterator[Statement]:
    """Yield a requirement for each stage in which it is another statement.  Raises: SpecError RLC0327, RLC0221."""
    stages = range(len(experiment.stages)) if requirement.stage is None else (requirement.stage,)
    seen: set[tuple[str, ...]] = set()
    missing: AbsentError | None = None
    for stage in stages:
        try:
            around = Surroundings(setting.names(experiment, stage, forecast), setting.catalogue)
            named = uses(expression, around)
        except AbsentError as absent:
            missing = absent
            continue
        paths = tuple(use.path for use in named)
        if paths not in seen:
            seen.add(paths)
            yield Statement(requirement, expression, stage, named, forecast is not None)
    # A policy is for all experiments below a root, whatever they have.
    if missing is not None and not seen and forecast is None:
        raise SpecError(_never_judged(requirement, missing, experiment))


def _never_judged(requirement: Requirement, missing: AbsentError, experiment: Experiment[Auto]) -> Diagnostic:
    name = missing.shown or requirement.text
    which = (
        "this experiment" if len(experiment.stages) == 1 else "no stage" if requirement.stage is None else "its stage"
    )
    has = f"{which} has it" if which == "no stage" else f"{which} does not have it"
    label = Label(missing.span or requirement.span, has, is_primary=True)
    ways = (
        Help("delete the requirement, or name a field that there is: rlc plan shows them all"),
        Help("or put it into a policy, which is about those experiments that have the field"),
    )
    return Diagnostic(NEVER_JUDGED, f"nothing can tell whether this holds: {name} is not there", (label,), ways)
