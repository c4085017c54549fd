"""`rlc doctor` on this machine, which has no GPU.  Oracle: what the plans ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.machine import GpuPlacement
from rlc.cli.main import main
from rlc.doctoring import needs_of
from rlc.running import Changes, Place, planned

PROJECT = Path(__file__).parents[2]


def test_this_machine_can_run_the_quickstart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(PROJECT / "experiments/quickstart.toml")
    assert main(["doctor", spec, "--run-dir", str(tmp_path / "run")]) == 0
    ended = capsys.readouterr()
    assert ended.err == ""
    assert "2 that the plan names can be read" in ended.out
    assert not (tmp_path / "run").exists()


def test_what_a_machine_without_gpus_lacks_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    spec = str(PROJECT / "experiments/grpo_qwen3_30b_a3b.toml")
    assert main(["doctor", spec, "--run-dir", str(tmp_path / "run")]) == 4
    ended = capsys.readouterr()
    assert {line.partition(":")[0] for line in ended.err.splitlines() if line.startswith("error")} >= {
        "error[RLC0790]",
        "error[RLC0791]",
        "error[RLC0793]",
        "error[RLC0794]",
    }
    assert "pip install 'sglang==0.5.23'" in ended.err


def test_a_misspelt_field_is_told_before_a_machine_is_looked_at(capsys: pytest.CaptureFixture[str]) -> None:
    spec = str(PROJECT / "experiments/quickstart.toml")
    assert main(["doctor", spec, "--set", "train.globl_batch=3"]) == 1
    assert capsys.readouterr().out == ""


def test_every_machine_is_asked_for_the_ports_of_its_own_engines(tmp_path: Path) -> None:
    job = planned(PROJECT / "experiments/grpo_qwen3_8b_async.toml", Changes(), Place(None, tmp_path)).job
    assert job is not None
    needs = needs_of(job.plan)
    cluster = job.plan.experiment.cluster
    assert [need.node for need in needs] == list(range(cluster.nodes))
    assert {need.gpus for need in needs} == {cluster.num_gpus // cluster.nodes}
    engines = [port for need in needs for port in need.ports if port.process.startswith("rollout")]
    placement = job.plan.experiment.placement
    assert isinstance(placement, GpuPlacement)
    assert len(engines) == placement.rollout_gpus // placement.gpus_per_engine
    assert all(len({port.port for port in need.ports}) == len(need.ports) for need in needs)
