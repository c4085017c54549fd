"""Bundles: counts add up, and no two processes of a machine that run at once have a GPU or a port in common."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from compiler.emit.artefacts import _ray
from compiler.ir.bundles import Bundle, bundles_of
from compiler.ir.machine import GpuPlacement
from compiler.ir.plan import Plan
from compiler.rules.gpu import ports_of_a_machine_differ as rule
from tests.support.good_spec import GPU, Changes, compiled

SPLIT: Changes = {"placement.mode": '"split"', "placement.train_gpus": "16", "cluster.nodes": "4"}
ENGINES = ("rollout", "prefill", "decode")


def plan_of(folder: Path, changes: Changes) -> Plan:
    found = compiled(folder, changes, base=GPU)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan


def random_layout(draw: Random) -> Changes:
    """Trainer, engines of one kind or of two, in one place or apart, with or without a router."""
    nodes = draw.choice((1, 2, 4, 6))
    total = 8 * nodes
    changes: Changes = {"cluster.nodes": str(nodes), "rollout.prompts_per_step": "96", "train.global_batch": "768"}
    if draw.random() < 0.4:
        gpus, each = draw.choice((2, 4, 8) if nodes > 1 else (2, 4)), draw.choice((1, 2))
        total -= gpus
        changes |= {
            "placement.judge": f'{{ weights = "j", weights_gib = 8.0, gpus = {gpus}, gpus_per_engine = {each} }}',
            "reward.name": '"judge"',
            "reward.judge": '{ url = "http://{judge}/v1/chat/completions", model = "a-judge" }',
        }
    train = total
    if draw.random() < 0.6 or 768 % total:
        train = draw.choice([n for n in (2, 4, 8, 16, 24, 32) if n < total])
        changes |= {"placement.mode": '"split"', "placement.train_gpus": str(train)}
    first, rollout = (train, total - train) if train < total else (0, total)
    if draw.random() < 0.5:
        changes["placement.router.port"] = str(draw.choice((12000, 13000)))
    sizes = [n for n in (1, 2, 4, 8, 16) if rollout % n == 0 and first % min(n, 8) == 0]
    each = draw.choice(sizes)
    changes["placement.gpus_per_engine"] = str(each)
    of_prefill = draw.choice([n for n in sizes if n <= each] + [each])
    numbers = [n for n in range(1, rollout // of_prefill) if (rollout - n * of_prefill) % each == 0]
    numbers = [n for n in numbers if (first + n * of_prefill) % min(each, 8) == 0 and rollout > n * of_prefill]
    if numbers and draw.random() < 0.6:
        changes["placement.disaggregation.prefill_engines"] = str(draw.choice(numbers))
        changes["placement.disaggregation.prefill_gpus_per_engine"] = str(of_prefill)
    return changes


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_layout_no_gpu_and_no_port_is_given_twice_and_counts_add_up(tmp_path: Path, seed: int) -> None:
    plan = plan_of(tmp_path, random_layout(Random(seed)))
    placement, cluster = plan.experiment.placement, plan.experiment.cluster
    assert isinstance(placement, GpuPlacement)
    found = bundles_of(plan.experiment)
    assert [bundle.node for bundle in found.bundles] == list(range(cluster.nodes))
    assert found.strategy == ("STRICT_SPREAD" if cluster.nodes > 1 else "PACK")
    for bundle in found.bundles:
        ports = [port for seat in bundle.seats for port in seat.ports]
        assert len(ports) == len(set(ports))
        assert bundle.gpus == 8
        assert bundle.cpus == sum(seat.cpus for seat in bundle.seats)
        for side in (ENGINES, ("trainer",)):
            gpus = gpus_of(bundle, *side, "judge")
            assert len(gpus) == len(set(gpus))
    if placement.mode == "split":
        for bundle in found.bundles:
            assert sorted(gpus_of(bundle, *ENGINES, "trainer", "judge")) == list(range(8))
    assert sum(len(gpus_of(b, "trainer")) for b in found.bundles) == placement.train_gpus
    assert sum(len(gpus_of(b, *ENGINES)) for b in found.bundles) == placement.rollout_gpus


def gpus_of(bundle: Bundle, *roles: str) -> list[int]:
    return [gpu for seat in bundle.seats if seat.role in roles for gpu in seat.gpus]


def test_processors_are_those_of_the_processes(tmp_path: Path) -> None:
    first, *_, last = bundles_of(plan_of(tmp_path, {**SPLIT, "placement.gpus_per_engine": "4"}).experiment).bundles
    assert first.cpus == 1 + 8  # the driver, and one for each of the trainer's processes
    assert last.cpus == 2 * (1 + 4)  # of each engine one, and one for each of its GPUs


def test_an_engine_of_two_machines_keeps_its_ports_on_both(tmp_path: Path) -> None:
    found = bundles_of(plan_of(tmp_path, {**SPLIT, "placement.gpus_per_engine": "16"}).experiment)
    ports = [{tuple(seat.ports) for seat in bundle.seats if seat.role == "rollout"} for bundle in found.bundles]
    assert ports == [set(), set(), {tuple(range(15000, 15064))}, {tuple(range(15000, 15064))}]


def test_stages_take_the_same_gpus_one_after_the_other(tmp_path: Path) -> None:
    stages: Changes = {"stages": '[{ name = "one" }, { name = "two", optim.eps = 1e-6, rollout.concurrency = 8 }]'}
    one, two = (bundles_of(plan_of(tmp_path, changes).experiment) for changes in (SPLIT, {**SPLIT, **stages}))
    assert one == two


def test_a_machine_without_gpus_has_the_driver(tmp_path: Path) -> None:
    found = compiled(tmp_path, {}).plan
    assert found is not None
    (bundle,) = bundles_of(found.experiment).bundles
    assert (bundle.gpus, bundle.cpus, bundle.ports) == (0, 1, ())


def test_ports_of_ray_are_those_that_artefacts_start_it_with() -> None:
    fixed = {port for name, port in _ray.RAY_PORTS if "worker" not in name}
    assert set(rule.RAY_PORTS) == {*fixed, _ray.GCS_PORT, _ray.DASHBOARD_PORT, _ray.CLIENT_PORT}
    workers = dict(_ray.RAY_PORTS)
    assert range(workers["min-worker-port"], workers["max-worker-port"] + 1) == rule.RAY_WORKERS
