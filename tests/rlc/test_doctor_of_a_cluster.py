"""`rlc doctor` of a Ray cluster: three machines of four GPUs, all of them pretended by this one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import environ
from runtime.doctor.needs import Finding, NodeNeeds, PackageNeed, SharedFiles
from runtime.executors.ray_cluster import Node, RayCluster
from runtime.executors.ray_doctor import examine_machines, versions

pytestmark = [pytest.mark.torch, pytest.mark.slow]

PROJECT = Path(__file__).parents[2]
NODES = 3


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Three nodes."""
    started = RayCluster.started([Node(4, 4, {})] * NODES, patience_s=300)
    yield started
    started.close()


def _needs(count: int) -> list[NodeNeeds]:
    return [NodeNeeds(node=node, packages=(PackageNeed("pytest", ""),)) for node in range(count)]


def _examined(
    folder: Path, planned: int, *, gpus: int = 4, patience_s: float = 300, text: str = "here"
) -> list[Finding]:
    beacon = folder / "beacon"
    beacon.write_text("here", encoding="utf-8")
    files = SharedFiles(reads=(), run_dir=str(folder), beacon=(str(beacon), text))
    return examine_machines(_needs(planned), files, asked={"CPU": 2, "GPU": gpus}, patience_s=patience_s)


def _told(found: list[Finding], what: str) -> list[tuple[int, str, str]]:
    return [(finding.node, finding.state, finding.told) for finding in found if finding.what == what]


@pytest.mark.usefixtures("cluster")
def test_every_machine_is_examined_and_reaches_every_other(tmp_path: Path) -> None:
    found = _examined(tmp_path, NODES)
    assert {finding.state for finding in found} == {"fine"}
    assert [node for node, *_ in _told(found, "run directory")] == [0, 1, 2]
    assert [node for node, *_ in _told(found, "packages")] == [0, 1, 2]
    assert _told(found, "versions")[2][2] == ", ".join(f"{name} {number}" for name, number in versions().items())
    assert _told(found, "network") == [(node, "fine", "it reaches the other 2") for node in range(NODES)]
    assert _told(found, "collectives") == [(0, "fine", "3 machines add up over gloo")]


@pytest.mark.usefixtures("cluster")
def test_machines_that_are_missing_or_too_small_are_counted(tmp_path: Path) -> None:
    fact = "5 of 2 CPUs and 4 GPUs are planned, and 3 of the cluster's 3 have that much"
    assert _told(_examined(tmp_path, 5), "machines") == [(3, "short", fact)]
    fact = "1 of 2 CPUs and 8 GPUs are planned, and 0 of the cluster's 3 have that much"
    assert _examined(tmp_path, 1, gpus=8)[0][:4] == (0, "machines", "short", fact)


@pytest.mark.usefixtures("cluster")
def test_a_run_directory_that_is_another_folder_is_short_on_each_machine(tmp_path: Path) -> None:
    assert [state for _, state, _ in _told(_examined(tmp_path, 2, text="elsewhere"), "run directory")] == ["short"] * 3


@pytest.mark.usefixtures("cluster")
def test_machines_that_do_not_answer_are_named_and_asked_no_more(tmp_path: Path) -> None:
    found = _examined(tmp_path, NODES, patience_s=0)
    silent = [finding for finding in found if finding.state == "short"]
    assert [finding.node for finding in silent] == [0, 1, 2]
    assert all(finding.told.endswith("it has not answered for 0 s") for finding in silent)


def _doctor(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    import ray

    env = {**environ.whole(), "RAY_ADDRESS": ray.get_runtime_context().gcs_address}
    called = [sys.executable, "-m", "rlc", "doctor", *words, "--run-dir", str(tmp_path / "run")]
    return subprocess.run(called, cwd=PROJECT, env=env, capture_output=True, text=True, check=False)


@pytest.mark.usefixtures("cluster")
def test_the_cluster_that_is_given_is_told_of_as_a_table(tmp_path: Path) -> None:
    ended = _doctor(tmp_path, "experiments/quickstart.toml", "--set", 'run.executor="ray"')
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "1 of 1 CPU are planned, and 3 of the cluster's 3 have that much" in ended.stdout
    assert ended.stdout.count("is the same folder there") == NODES
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("cluster")
def test_a_plan_for_more_than_the_cluster_has_is_refused(tmp_path: Path) -> None:
    ended = _doctor(tmp_path, "experiments/grpo_qwen3_8b_async.toml")
    assert ended.returncode == 4
    assert "error[RLC0796]: machine 0: machines: 2 of " in ended.stderr
