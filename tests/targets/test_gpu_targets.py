"""The targets with GPUs: whose they are, what their engines are called, and what a process finds there."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.experiment import Stage
from compiler.ir.machine import GPU_TARGETS
from compiler.ir.model import Model
from rlc.catalogue import extended, load_target, scan
from tests.support.good_spec import GPU, Changes, compiled

AMD: Changes = {"cluster.target": '"rocm"', "cluster.gpus_per_node": '"8xMI300X-192"'}


def environment(folder: Path, changes: Changes) -> dict[str, str]:
    plan = compiled(folder, changes, base=GPU).plan
    assert plan is not None
    found = plan.experiment.cluster.environment
    assert [v.name for v in found] == sorted({v.name for v in found})
    return {v.name: v.value for v in found}


def test_the_targets_that_the_schema_gives_gpus_to_are_those_of_a_vendor() -> None:
    assert [name for name in scan().targets if load_target(name).vendor] == sorted(GPU_TARGETS)
    assert {name: load_target(name).vendor for name in GPU_TARGETS} == {
        "cuda": "nvidia",
        "rocm": "amd",
        "cpu_cluster": "cpu",
    }


@pytest.mark.parametrize("name", ["cuda", "rocm"])
def test_both_have_the_same_engines_and_know_every_architecture_of_the_schema(name: str) -> None:
    target = load_target(name)
    assert target.rollout_engines == ("sglang", "vllm")
    assert target.train_engines == ("megatron", "fsdp2")
    assert set(target.families) == {name for atom in Model.fields()["family"].kind.values for name in atom.choices}


@pytest.mark.parametrize("name", GPU_TARGETS)
def test_a_limit_names_fields_of_the_schema(name: str) -> None:
    shared = {"train", "rollout", "schedule", "loss", "algo", "optim"}
    for limit in load_target(name).limits:
        for path, _ in limit.when:
            head = path.partition(".")[0]
            assert head in {*shared, "model", "parallel", "placement", "cluster"}
            if head in shared:
                assert head in Stage.fields() or head in ("loss", "algo")


def test_a_process_on_nvidia_finds_one_queue_and_no_hub(tmp_path: Path) -> None:
    found = environment(tmp_path, {})
    assert found["CUDA_DEVICE_MAX_CONNECTIONS"] == "1"
    assert found["HF_HUB_OFFLINE"] == "1"
    assert not [name for name in found if name.startswith(("HIP", "HSA"))]


def test_a_process_on_amd_keeps_the_devices_of_the_plan(tmp_path: Path) -> None:
    found = environment(tmp_path, AMD)
    assert found["RAY_EXPERIMENTAL_NOSET_HIP_VISIBLE_DEVICES"] == "1"
    assert found["CUDA_DEVICE_MAX_CONNECTIONS"] == "1"


def test_the_same_experiment_on_the_other_vendor_is_another_plan(tmp_path: Path) -> None:
    first, second = compiled(tmp_path, {}, base=GPU).plan, compiled(tmp_path, AMD, base=GPU).plan
    assert first is not None
    assert second is not None
    assert first.hash != second.hash


def test_what_both_share_stands_once_and_each_adds_its_own(tmp_path: Path) -> None:
    cuda, rocm = load_target("cuda"), load_target("rocm")
    assert rocm.limits[: len(cuda.limits)] == cuda.limits
    assert len(rocm.limits) > len(cuda.limits)
    assert (cuda.versions, cuda.families, cuda.executors) == (rocm.versions, rocm.families, rocm.executors)
    assert set(environment(tmp_path, {})) & set(environment(tmp_path, AMD)) == {
        "CUDA_DEVICE_MAX_CONNECTIONS",
        "HF_HUB_OFFLINE",
        "TOKENIZERS_PARALLELISM",
        "TRANSFORMERS_OFFLINE",
    }


def test_a_target_that_extends_says_more_of_a_table_and_of_a_list_of_tables() -> None:
    base = {"engines": {"train": ["a"], "versions": {"x": "1"}}, "limits": [{"why": "first"}], "device": "one"}
    own = {"engines": {"train": ["b"], "versions": {"y": "2"}}, "limits": [{"why": "second"}], "device": "two"}
    assert extended(base, own) == {
        "engines": {"train": ["b"], "versions": {"x": "1", "y": "2"}},
        "limits": [{"why": "first"}, {"why": "second"}],
        "device": "two",
    }
