"""Targets: their data agrees with their folder, and their lowering is a function of the plan alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.tree import ROOT
from rlc.catalogue import load_target, scan
from tests.support.good_spec import compiled

TARGETS = scan().targets


def test_every_folder_with_a_target_file_is_a_target() -> None:
    assert set(TARGETS) == {p.parent.name for p in (ROOT / "targets").glob("*/target.toml")}
    assert "cpu" in TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_called_like_its_folder_and_has_a_default_of_everything(name: str) -> None:
    target = load_target(name)
    assert target.name == name
    assert target.devices_per_node >= 1
    assert target.rollout_engines
    assert target.train_engines
    assert target.families
    for choices in (target.rollout_engines, target.train_engines, target.families, target.executors):
        assert len(set(choices)) == len(choices)


def test_the_cpu_is_one_device_with_engines_that_the_runtime_has() -> None:
    cpu = load_target("cpu")
    assert (cpu.device, cpu.devices_per_node, cpu.executors) == ("cpu", 1, ("inline", "ray"))
    engines = ROOT / "runtime/engines"
    assert all((engines / "rollout" / name).is_dir() for name in cpu.rollout_engines)
    assert all((engines / "train" / f"{name}_.py").is_file() for name in cpu.train_engines)
    assert (ROOT / "runtime/executors/inline.py").is_file()


def test_threads_and_absent_hubs_are_in_the_environment_sorted_by_name(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"cluster.cpu_threads": "3"}).plan
    assert plan is not None
    found = [(variable.name, variable.value) for variable in plan.experiment.cluster.environment]
    assert found == [
        ("HF_HUB_OFFLINE", "1"),
        ("MKL_NUM_THREADS", "3"),
        ("OMP_NUM_THREADS", "3"),
        ("TOKENIZERS_PARALLELISM", "false"),
        ("TRANSFORMERS_OFFLINE", "1"),
    ]


def test_the_environment_says_why_it_is_so(tmp_path: Path) -> None:
    subject = compiled(tmp_path, {}).subject
    assert subject is not None
    origin = subject.origins["cluster.environment.0.value"]
    assert (origin.kind, origin.by, origin.inputs) == (
        "derived",
        "set_environment",
        ("cluster.target", "cluster.cpu_threads"),
    )
