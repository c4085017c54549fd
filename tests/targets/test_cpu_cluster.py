"""The cluster whose GPUs are processes: its plans are made as those of GPUs are, and say what a process of it has."""

from __future__ import annotations

from pathlib import Path

from compiler.emit.plan_page import plan_page
from compiler.ir.machine import GpuPlacement
from compiler.ir.plan import Plan
from rlc.catalogue import scan
from tests.support.good_spec import GRPO, Changes, codes, compiled

CLUSTER: Changes = {
    "cluster.target": '"cpu_cluster"',
    "cluster.gpus_per_node": '"4xCPU-4"',
    "cluster.nodes": "2",
    "cluster.cpu_threads": "1",
    "run.executor": '"ray"',
    "parallel.dp": "8",
}


def _plan(folder: Path, changes: Changes) -> Plan:
    plan = compiled(folder, {**CLUSTER, **changes}, base=GRPO).plan
    assert plan is not None
    return plan


def test_every_rank_and_every_engine_has_a_process_on_a_device_of_its_node(tmp_path: Path) -> None:
    placement = _plan(tmp_path, {}).experiment.placement
    assert isinstance(placement, GpuPlacement)
    ranks = [(r.node, r.device) for r in placement.roles if r.role == "trainer"]
    assert ranks == [(node, f"cpu:{device}") for node in range(2) for device in range(4)]
    assert [launch.engine for launch in placement.launches] == ["native", "fsdp2"]


def test_a_server_of_rlc_is_started_on_the_plan_and_its_token_is_in_no_command_line(tmp_path: Path) -> None:
    placement = _plan(tmp_path, {}).experiment.placement
    assert isinstance(placement, GpuPlacement)
    server = placement.launches[0]
    assert server.words[:5] == ("python", "-m", "rlc", "serve", "{plan}")
    assert "--token-env=RLC_SERVE_TOKEN" in server.words
    assert not [word for word in server.words if "{token}" in word]
    assert ("RLC_SERVE_TOKEN", "{token}") in [(v.name, v.value) for v in server.environment]


def test_a_mesh_of_torch_is_one_of_processors(tmp_path: Path) -> None:
    placement = _plan(tmp_path, {}).experiment.placement
    assert isinstance(placement, GpuPlacement)
    mesh = next(r for r in placement.launches[1].records if r.name == "init_device_mesh").values.__dict__
    assert (mesh["device_type"], mesh["mesh_shape"]) == ("cpu", (8, 1, 1))


def test_threads_of_a_rank_are_what_the_spec_says(tmp_path: Path) -> None:
    found = {v.name: v.value for v in _plan(tmp_path, {}).experiment.cluster.environment}
    assert (found["OMP_NUM_THREADS"], found["SGLANG_USE_CPU_ENGINE"]) == ("1", "1")


def test_a_model_that_no_rank_can_hold_is_refused_with_numbers(tmp_path: Path) -> None:
    large: Changes = {"model.name": '"//models:qwen3_8b"', "model.weights": '"random"', "train.precision": '"fp32"'}
    assert "RLC0532" in codes(tmp_path, {**CLUSTER, **large}, base=GRPO)


def test_no_rank_captures_graphs(tmp_path: Path) -> None:
    shown = plan_page(
        _plan(tmp_path, {}), None, scan().load_hardware(), source="spec.toml", ascii_only=True, color=False
    )
    assert "rollout engine's weights" in shown
    assert "captured graphs" not in shown
