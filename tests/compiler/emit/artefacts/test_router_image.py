"""The image of a plan with a router has the router in the version that its command line is written for."""

from __future__ import annotations

from compiler.ir.machine import GpuPlacement
from tests.support.launch_files import ON_A_CLUSTER, files_of, shipped_plan

NAME = "grpo_qwen3_4b.toml"


def test_the_router_is_installed_where_a_plan_starts_one_and_nowhere_else() -> None:
    without = shipped_plan(NAME)
    routed = shipped_plan(NAME, (*ON_A_CLUSTER, 'placement.router.policy="round_robin"'))
    placement = routed.experiment.placement
    assert isinstance(placement, GpuPlacement)
    (version,) = {launch.version for launch in placement.launches if launch.role == "router"}
    (plain,), (other,) = (
        [text for name, text in files_of("docker", plan).items() if name == "Dockerfile"] for plan in (without, routed)
    )
    assert set(other.split()) - set(plain.split()) >= {f"sglang-router=={version}"}
    assert "sglang-router" not in plain
