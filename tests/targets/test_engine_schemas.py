"""What pinned engines take: one file for each pin of a target, and nothing in it that specs cannot write."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.options import Options
from compiler.ir.rollout import RolloutEngine
from compiler.ir.spec_tables import spec_keys
from compiler.ir.training import TrainEngine
from rlc.catalogue import load_engine, load_target, scan

FOLDER = Path(__file__).parents[2] / "targets" / "engines"
PINNED = sorted({f"{name}-{v}" for target in scan().targets for name, v in load_target(target).versions})
ROUTERS = sorted({f"{t.router}-{t.router_version}" for t in map(load_target, scan().targets) if t.router})
TABLES = {"rollout": RolloutEngine, "train": TrainEngine}


def test_there_is_a_file_for_each_pinned_engine_and_no_other() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.toml")) == sorted(PINNED + ROUTERS)


@pytest.mark.parametrize("pinned", PINNED + ROUTERS)
def test_the_file_is_named_for_what_is_in_it(pinned: str) -> None:
    engine = load_engine(pinned)
    assert f"{engine.name}-{engine.version}" == pinned
    assert engine.version in engine.source


@pytest.mark.parametrize("pinned", PINNED)
def test_an_engine_has_a_table_in_its_role(pinned: str) -> None:
    engine = load_engine(pinned)
    assert TABLES[engine.role].fields()[engine.name].kind.records == (Options,)


@pytest.mark.parametrize("pinned", PINNED + ROUTERS)
def test_what_the_plan_decides_is_a_setting_and_follows_from_a_field_that_can_be_written(pinned: str) -> None:
    engine, keys = load_engine(pinned), spec_keys(scan())
    fields = engine.options.fields()
    assert {key for key, field in fields.items() if field.is_derived} == set(engine.decided)
    assert {path for path in engine.decided.values() if path not in keys or keys[path].is_derived} == set()


def test_a_target_pins_every_engine_that_is_not_of_rlc_itself() -> None:
    for name, own in (("cuda", {"fsdp2"}), ("rocm", {"fsdp2"}), ("cpu_cluster", {"fsdp2", "native"})):
        target = load_target(name)
        schemas = {engine.name for engine in map(load_engine, (f"{n}-{v}" for n, v in target.versions))}
        assert {*target.rollout_engines, *target.train_engines} - schemas == own
    assert load_target("cpu").versions == ()


def test_a_setting_that_each_engine_is_known_for_is_there_with_its_type() -> None:
    kinds = {
        ("sglang-0.5.23", "mem_fraction_static"): ["float", "auto"],
        ("sglang-0.5.23", "chunked_prefill_size"): ["int"],
        ("vllm-0.32.0", "gpu_memory_utilization"): ["float", "auto"],
        ("vllm-0.32.0", "served_model_name"): ["str", "list"],
        ("megatron-0.16.1", "recompute_granularity"): ["literal"],
        ("megatron-0.16.1", "recompute_modules"): ["list"],
    }
    found = {at: [a.name for a in load_engine(at[0]).options.fields()[at[1]].kind.atoms] for at in kinds}
    assert found == kinds
