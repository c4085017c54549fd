"""Formats of an engine's weights: bytes with their scales, and what a GPU multiplies in."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.openness import OFF
from compiler.planner.memory.experiment_facts import engine_job
from compiler.planner.time.experiment_facts import step_job
from compiler.planner.weight_formats import PLAIN, weight_format
from rlc.catalogue import scan
from tests.support.good_spec import GPU, compiled

GPUS = scan().load_hardware()


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("fp8", 8 + 32 / 128**2),
        ("mxfp8", 8 + 8 / 32),
        ("awq", 4 + 20 / 128),
        ("mxfp4", 4 + 8 / 32),
        ("modelopt_fp4", 4 + 8 / 16),
        ("w4afp8", 4 + 16 / 128),
        ("compressed-tensors", 16),
        (OFF, 16),
    ],
)
def test_a_number_has_its_bits_and_its_part_of_a_scale(name: object, bits: float) -> None:
    assert weight_format(name).bytes == bits / 8


@pytest.mark.parametrize(
    ("name", "gpu", "number"),
    [
        ("fp8", "H100-80-SXM", "fp8"),
        ("fp8", "A100-80-SXM", "bf16"),
        ("nvfp4", "B200-180", "fp4"),
        ("nvfp4", "H100-80-SXM", "bf16"),
        ("awq", "B200-180", "bf16"),
        ("w4afp8", "H100-80-SXM", "fp8"),
    ],
)
def test_what_a_gpu_lacks_is_widened(name: str, gpu: str, number: str) -> None:
    assert weight_format(name).number(GPUS[gpu]) == number


@pytest.mark.parametrize("name", ["awq", "w4afp8", "fp8"])
def test_memory_and_time_of_an_engine_count_the_same_bytes(tmp_path: Path, name: str) -> None:
    changes = {"rollout.engine.sglang.quantization": f'"{name}"'}
    subject = compiled(tmp_path, dict(changes), base=GPU).subject
    assert subject is not None
    experiment, gpu = subject.experiment, GPUS["H100-80-SXM"]
    (stage,) = experiment.stages
    job = step_job(experiment, stage, gpu)
    assert job is not None
    assert job.sampling is not None
    assert engine_job(experiment, stage, gpu).weights == weight_format(name) != PLAIN
    assert job.sampling.sampler.weight_bytes == weight_format(name).bytes
