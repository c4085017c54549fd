"""Files of artefacts for the tests: of shipped experiments, with what a user would set for a cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from checks.tree import ROOT
from compiler.compile import compile_spec
from compiler.emit.artefacts._job import job_of
from compiler.emit.artefacts.catalogue import PLAN_FILE, artefact_called
from compiler.ir.plan import Plan
from rlc.catalogue import load_container, scan

IMAGE = "registry.example.com/rlc:1"
ON_A_CLUSTER = ('run.executor="ray"', f'launch.image="{IMAGE}"')
ARTEFACTS = ("docker", "kubernetes", "ray_job", "slurm")


@cache
def shipped_plan(experiment: str, settings: Sequence[str] = ON_A_CLUSTER) -> Plan:
    """Return the plan of experiments/NAME with some fields set."""
    compiled = compile_spec(ROOT / "experiments" / experiment, scan(), overrides=settings)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    return compiled.plan


def files_of(artefact: str, plan: Plan) -> dict[str, str]:
    """Return the files of an artefact by name, without the plan."""
    job = job_of(plan, load_container(plan.experiment.cluster.target))
    return {file.name: file.text for file in artefact_called(artefact).files(job) if file.name != PLAN_FILE}


def write_files(files: Mapping[str, str], folder: Path) -> None:
    """Write files into a new folder."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)
