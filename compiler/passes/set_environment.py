"""Fixes what every process finds in its environment: the target decides, the plan records."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.evaluated import held_out_lists
from compiler.ir.experiment import Experiment
from compiler.ir.machine import EnvironmentVariable
from compiler.ir.openness import Auto
from compiler.ir.provenance import Provenance

_OFFLINE = "HF_HUB_OFFLINE"


def set_environment(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Take the variables from the target's lowering; whoever reads a data set of the hub is not kept from it."""
    variables = catalogue.load_target(experiment.cluster.target).environment(experiment.cluster)
    inputs = ("cluster.target", "cluster.cpu_threads")
    if _reads_the_hub(experiment):
        variables = tuple(variable for variable in variables if variable.name != _OFFLINE)
    origins.derived("cluster.environment", by="set_environment", inputs=inputs)
    for i in range(len(variables)):
        for field in EnvironmentVariable.fields():
            origins.derived(f"cluster.environment.{i}.{field}", by="set_environment", inputs=inputs)
    return experiment.replacing(cluster=experiment.cluster.replacing(environment=variables))


def _reads_the_hub(experiment: Experiment[Auto]) -> bool:
    trained = (source for stage in experiment.stages for source in stage.data.train)
    measured = (one for stage in experiment.stages for _, sets in held_out_lists(stage.eval) for one in sets)
    return any(isinstance(source.hub, str) for sources in (trained, measured) for source in sources)
