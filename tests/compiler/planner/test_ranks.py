"""Bytes of one GPU: closed forms in the number of parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.planner.parameters import count_parameters
from compiler.planner.ranks import (
    EngineFormats,
    Spread,
    engine_formats,
    engine_sequence_bytes,
    engine_weight_bytes,
    logit_bytes,
    rank_bytes,
    routed_parameters,
)
from tests.support.good_spec import GPU, MOE, compiled

ONE = Spread(tp=1, pp=1, cp=1, ep=1, etp=1, dp=1)


def model_of(folder: Path, base: dict[str, str]) -> Model[object]:
    subject = compiled(folder, {}, base=base).subject
    assert subject is not None
    return subject.experiment.model


def test_a_parameter_takes_sixteen_bytes_either_way(tmp_path: Path) -> None:
    """bf16: 2 + 2, master 4, two moments 8.  fp32: 4 + 4, two moments 8."""
    model = model_of(tmp_path, GPU)
    count = count_parameters(model)
    short = rank_bytes(model, ONE, is_bf16=True, moments=2, is_sharded=False)
    long = rank_bytes(model, ONE, is_bf16=False, moments=2, is_sharded=False)
    assert tuple(short) == (2 * count, 2 * count, 12 * count)
    assert tuple(long) == (4 * count, 4 * count, 8 * count)
    assert short.total == long.total == 16 * count


@pytest.mark.parametrize("copies", [{"dp": 2}, {"cp": 2}])
def test_copies_share_the_optimizer_state_and_with_sharding_everything(tmp_path: Path, copies: dict[str, int]) -> None:
    model = model_of(tmp_path, GPU)
    count = count_parameters(model)
    two = ONE._replace(**copies)
    assert tuple(rank_bytes(model, two, is_bf16=True, moments=2, is_sharded=False)) == (
        2 * count,
        2 * count,
        12 * (count // 2),
    )
    half = count // 2
    assert tuple(rank_bytes(model, two, is_bf16=True, moments=2, is_sharded=True)) == (4 * half, 4 * half, 8 * half)


@pytest.mark.parametrize("axis", ["tp", "pp"])
def test_a_split_model_has_its_part_of_everything(tmp_path: Path, axis: str) -> None:
    model = model_of(tmp_path, GPU)
    part = count_parameters(model) // 4
    found = rank_bytes(model, ONE._replace(**{axis: 4}), is_bf16=True, moments=0, is_sharded=False)
    assert tuple(found) == (2 * part, 2 * part, 4 * part)


def test_experts_are_spread_by_an_axis_of_their_own(tmp_path: Path) -> None:
    model = model_of(tmp_path, MOE)
    routed = routed_parameters(model)
    assert routed == 48 * 128 * 3 * 2048 * 768  # Qwen3-30B-A3B: layers, experts, matrices, hidden, expert size
    rest = count_parameters(model) - routed
    found = rank_bytes(model, ONE._replace(dp=8, ep=8), is_bf16=True, moments=2, is_sharded=False)
    assert found.weights == 2 * (rest + routed // 8)
    assert found.optimizer == 12 * (rest // 8 + routed // 8)


def test_a_dense_model_has_no_experts(tmp_path: Path) -> None:
    assert routed_parameters(model_of(tmp_path, GPU)) == 0


def test_an_engine_divides_weights_and_heads(tmp_path: Path) -> None:
    model = model_of(tmp_path, GPU)
    assert engine_weight_bytes(model, 2, EngineFormats()) == count_parameters(model)
    per_token = 2 * 36 * 8 * 128 * 2  # Qwen3-4B: keys and values, layers, heads, channels, bytes
    assert engine_sequence_bytes(model, 1, 1000, EngineFormats()) == 1000 * per_token
    assert engine_sequence_bytes(model, 8, 1000, EngineFormats()) == 1000 * per_token // 8
    on_sixteen = engine_sequence_bytes(model, 16, 1000, EngineFormats())
    assert on_sixteen == 1000 * per_token // 8, "eight heads lie on eight GPUs at most"


def test_what_is_quantised_takes_less_but_for_the_tables_of_tokens(tmp_path: Path) -> None:
    model, eight = model_of(tmp_path, GPU), EngineFormats(weight=1, cache=1)
    tables = 151_936 * 2560  # Qwen3-4B: tokens, channels; the head is the same table
    assert engine_weight_bytes(model, 1, eight) == count_parameters(model) + tables
    assert engine_sequence_bytes(model, 1, 1000, eight) == 2 * 36 * 8 * 128 * 1000


@pytest.mark.parametrize(
    ("quantization", "kv_cache_dtype", "weight", "cache"),
    [
        ("fp8", "fp8_e4m3", 1, 1),
        ("w8a8_int8", "auto", 1, 2),
        ("awq", "nvfp4", 0.5, 0.5),
        ("w4afp8", "bfloat16", 0.5, 2),
        ("unquant", "mxfp8", 2, 1),
    ],
)
def test_formats_are_read_from_the_settings_of_an_engine(
    tmp_path: Path, quantization: str, kv_cache_dtype: str, weight: float, cache: float
) -> None:
    given = {"quantization": quantization, "kv_cache_dtype": kv_cache_dtype}
    changes = {f"rollout.engine.sglang.{name}": f'"{value}"' for name, value in given.items()}
    subject = compiled(tmp_path, dict(changes), base=GPU).subject
    assert subject is not None
    (stage,) = subject.experiment.stages
    assert not isinstance(stage.rollout, Off)
    assert engine_formats(stage.rollout.engine) == EngineFormats(weight, cache)


@pytest.mark.parametrize(
    ("spread", "columns", "expected"),
    [
        (ONE, 1000, 4096 * 1000 * 4),
        (ONE, 10**6, 4096 * 151_936 * 4),
        (ONE._replace(tp=2), 10**6, 4096 * 75_968 * 4),
        (ONE._replace(cp=4), 1000, 1024 * 1000 * 4),
    ],
)
def test_logits_are_tokens_times_columns(tmp_path: Path, spread: Spread, columns: int, expected: int) -> None:
    assert logit_bytes(model_of(tmp_path, GPU), spread, tokens=4096, columns=columns) == expected
