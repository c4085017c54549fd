"""RLC0411: what is expected of responses is read where a time is forecast."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, ROWS, SFT, codes


@pytest.mark.parametrize("value", ["8", '"off"'])
def test_no_time_is_forecast_on_a_cpu(tmp_path: Path, value: str) -> None:
    expected: list[str] = [] if value == '"off"' else ["RLC0411"]
    assert codes(tmp_path, {"rollout.expected_response_tokens": value}) == expected


def test_a_time_is_forecast_on_gpus(tmp_path: Path) -> None:
    assert codes(tmp_path, {"rollout.expected_response_tokens": "8"}, base=GPU) == []


def test_lengths_of_rows_are_read_on_gpus_and_only_of_stages_that_train_on_rows(tmp_path: Path) -> None:
    assert codes(tmp_path, {"data.expected_sample_tokens": "100"}, base=SFT) == ["RLC0411"]
    assert codes(tmp_path, {"data.expected_sample_tokens": "100"}, base=ROWS) == []
    assert codes(tmp_path, {"data.expected_sample_tokens": "100"}, base=GPU) != []


def test_a_price_is_that_of_a_gpu(tmp_path: Path) -> None:
    assert codes(tmp_path, {"cluster.usd_per_gpu_hour": "2.5"}) == ["RLC0202"]
    assert codes(tmp_path, {"cluster.usd_per_gpu_hour": "2.5"}, base=GPU) == []
