"""Artefacts of shipped experiments: some read as code, all of them linted, validated and the same twice."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from checks.tree import ROOT
from compiler.compile import experiments_of
from compiler.diagnostics.diagnostic import SpecError
from compiler.emit.artefacts.catalogue import artefacts
from compiler.frontend.session import Session
from compiler.ir.allowance import Allowance
from compiler.ir.plan import read_plan
from rlc.catalogue import scan
from tests.support.launch_files import ARTEFACTS, ON_A_CLUSTER, files_of, shipped_plan, write_files
from tests.support.rayjob_schema import CONFIG_MAP, RAY_JOB

Golden = Callable[[str, str], None]

# What each shows: GPUs that take turns; AMD's GPUs; machines that train while others sample; experts over eight
# machines; a processor.
READ = {
    "sync": ("grpo_qwen3_4b.toml", ON_A_CLUSTER, ("slurm", "docker")),
    "rocm": ("grpo_llama3_8b.toml", ON_A_CLUSTER, ("docker", "kubernetes")),
    "async": (
        "grpo_qwen3_8b_async.toml",
        (
            *ON_A_CLUSTER,
            'launch.slurm.container="apptainer"',
            'launch.time_limit_s="1d12h"',
            'launch.mounts=["/scratch"]',
        ),
        ("ray_job", "slurm"),
    ),
    "experts": ("grpo_glm4_5_air.toml", (*ON_A_CLUSTER, 'launch.secrets=["JUDGE_KEY"]'), ("kubernetes",)),
    "cpu": ("quickstart.toml", ('launch.slurm.container="none"',), ("docker", "slurm")),
}
# Names of golden files whose suffix says how they are commented.
NAMES = {"Dockerfile": "image.dockerfile", "Dockerfile.dockerignore": "context.txt"}


def gpu_experiments() -> Iterator[str]:
    """Every experiment of this repository for GPUs, by the name that the command line takes."""
    folder, catalogue = ROOT / "experiments", scan()
    for file in sorted((*folder.glob("*.toml"), *folder.glob("*.star"))):
        if 'target = "cpu' in file.read_text():
            continue
        session = Session(catalogue.stdlib, catalogue.cache)
        names = experiments_of(file, session) if file.suffix == ".star" else ()
        yield from (f"{file.name}:{name}" for name in names) if len(names) > 1 else (file.name,)


EXPERIMENTS = tuple(gpu_experiments())


def documents(text: str) -> list[Any]:
    return list(yaml.safe_load_all(text))


@pytest.mark.parametrize("name", READ)
def test_an_artefact_reads_as_code(name: str, golden: Golden) -> None:
    experiment, settings, which = READ[name]
    plan = shipped_plan(experiment, settings)
    for artefact in which:
        for file, text in files_of(artefact, plan).items():
            shown = text.replace(plan.hash[:8], "HASHHASH").replace(plan.hash[8:12], "HASH")
            if file == "rayjob.yaml":
                whole, _, rest = shown.partition("  plan.json: |\n")
                shown = whole + "  plan.json: (the plan)\n" + rest[rest.index("  run.sh: |") :]
            golden(f"artefacts/{name}/{artefact}/{NAMES.get(file, file)}", shown)


def test_there_are_experiments_for_both_vendors_and_several_machines() -> None:
    clusters = [shipped_plan(name).experiment.cluster for name in EXPERIMENTS]
    assert {cluster.target for cluster in clusters} == {"cuda", "rocm"}
    assert max(cluster.nodes for cluster in clusters) > 1
    assert tuple(artefact.name for artefact in artefacts()) == ARTEFACTS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_saved_plan_makes_the_same_bytes(name: str) -> None:
    plan = shipped_plan(name)
    saved = read_plan(plan.to_text(), name="plan.json", params_of=scan().params_of)
    for artefact in ARTEFACTS:
        files = files_of(artefact, plan)
        assert files
        assert files_of(artefact, saved) == files


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_ray_job_of_kubernetes_is_one(name: str) -> None:
    plan = shipped_plan(name)
    config_map, ray_job = documents(files_of("kubernetes", plan)["rayjob.yaml"])
    Draft202012Validator(CONFIG_MAP).validate(config_map)
    Draft202012Validator(RAY_JOB).validate(ray_job)
    assert config_map["data"]["plan.json"] == plan.to_text()
    cluster = ray_job["spec"]["rayClusterSpec"]
    workers = sum(group["replicas"] for group in cluster.get("workerGroupSpecs", ()))
    pods = [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", ())]
    limits = [pod["template"]["spec"]["containers"][0]["resources"]["limits"] for pod in pods]
    vendor = "nvidia" if plan.experiment.cluster.target == "cuda" else "amd"
    each = {int(limit[f"{vendor}.com/gpu"]) for limit in limits}
    assert len(each) == 1
    assert (workers + 1) * each.pop() == plan.experiment.cluster.num_gpus


def test_scripts_and_images_of_every_shipped_experiment_are_clean(tmp_path: Path) -> None:
    named = {name: shipped_plan(name) for name in EXPERIMENTS}
    named |= {name: shipped_plan(experiment, settings) for name, (experiment, settings, _) in READ.items()}
    for name, plan in named.items():
        for artefact in ARTEFACTS:
            if artefact in ("docker", "slurm") or plan.experiment.run.executor == "ray":
                write_files(files_of(artefact, plan), tmp_path / name / artefact)
    scripts = [str(file) for kind in ("sh", "sbatch") for file in tmp_path.rglob(f"*.{kind}")]
    images = [str(file) for file in tmp_path.rglob("Dockerfile")]
    assert len(scripts) > len(images) > len(EXPERIMENTS)
    assert _said("shellcheck", "--norc", "--severity=style", *scripts) == ""
    assert _said("hadolint", "--no-color", *images) == ""


def _said(program: str, *words: str) -> str:
    """What a linter of this environment says."""
    found = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *words], capture_output=True, text=True, check=False
    )
    return found.stdout + found.stderr


def test_a_plan_that_kubernetes_cannot_hold_is_refused_with_its_size() -> None:
    plan = shipped_plan("grpo_qwen3_4b.toml")
    allowed = (Allowance(rule="MEM-06", why="x" * 2**20),)
    with pytest.raises(SpecError, match=r"RLC0804: the plan has 1,0\d\d,\d\d\d bytes"):
        files_of("kubernetes", plan.replacing(experiment=plan.experiment.replacing(allow=allowed)))
