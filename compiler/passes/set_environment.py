"""Fixes what every process finds in its environment: the target decides, the plan records."""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment
from compiler.ir.machine import EnvironmentVariable
from compiler.ir.openness import Auto
from compiler.ir.provenance import Provenance


def set_environment(experiment: Experiment[Auto], origins: Provenance, catalogue: Catalogue) -> Experiment[Auto]:
    """Take the variables from the target's lowering."""
    variables = catalogue.load_target(experiment.cluster.target).environment(experiment.cluster)
    inputs = ("cluster.target", "cluster.cpu_threads")
    origins.derived("cluster.environment", by="set_environment", inputs=inputs)
    for i in range(len(variables)):
        for field in EnvironmentVariable.fields():
            origins.derived(f"cluster.environment.{i}.{field}", by="set_environment", inputs=inputs)
    return experiment.replacing(cluster=experiment.cluster.replacing(environment=variables))
