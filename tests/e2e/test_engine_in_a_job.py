"""What the native engine does in a running job: under little memory, with stop strings, and when it is disturbed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.executors import inline
from runtime.protocols import GenerationRequest
from tests.e2e.test_buffer import PARTIAL, ROUTED, run
from tests.support.run_directory import newest_checkpoint

pytestmark = pytest.mark.torch

# Two steps that sample and train.
SHORT = ("run.max_steps=2", 'rollout.buffer="off"')


def learned(rows: Sequence[dict[str, Any]]) -> list[dict[str, float]]:
    """Return what does not tell how it came about: neither times nor what the engine counted."""
    kinds = ("reward/", "rollout/", "train/")
    return [{name: value for name, value in row.items() if name.startswith(kinds)} for row in rows]


@pytest.mark.parametrize("further", [(), ROUTED], ids=["dense", "experts"])
def test_a_deterministic_job_learns_the_same_however_little_memory_it_has(
    tmp_path: Path, further: tuple[str, ...]
) -> None:
    exact = (*SHORT, *further, "rollout.engine.deterministic=true")
    weights: list[bytes] = []
    for name, limits in {
        "roomy": (),
        "narrow": ("rollout.engine.cache_tokens=40", "rollout.engine.prefill_tokens=3"),
        "alone": ("rollout.concurrency=1",),
    }.items():
        run(tmp_path / name, *exact, *limits)
        (file,) = newest_checkpoint(tmp_path / name / "run").glob("**/*model*.safetensors")
        weights.append(file.read_bytes())
    assert weights[0] == weights[1] == weights[2]


def test_responses_end_with_a_stop_string(tmp_path: Path) -> None:
    judge = 'def reward(sample):\n    return float(sample.text.endswith(("24", "1")))\n'
    rows = run(tmp_path, *SHORT, 'rollout.stop_strings=["24", "1"]', judge=judge)
    for row in rows:
        # Whoever neither hit a string nor ended otherwise was cut.
        assert row["reward/mean"] > 0
        assert row["rollout/response_tokens_mean"] < 12


def test_what_is_broken_off_is_counted(tmp_path: Path) -> None:
    rows = run(tmp_path, "run.max_steps=2", *PARTIAL)
    assert all(row["engine/aborted_responses"] > 0 for row in rows)
    assert rows[1]["buffer/resumed_samples"] > 0


class UpdatedInTheMiddle(NativeEngine):
    """Gets its weights anew, as another version, while sequences are under way."""

    num_advances = 0

    @override
    def advance(self) -> None:
        self.num_advances += 1
        if self.num_advances == 2:
            held = [(name, tensor.clone()) for name, tensor in self.weights()]
            self.load_weights(iter(held), version=77)
        super().advance()


def test_an_update_in_the_middle_of_generation_is_stamped_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(tmp_path / "plain", *SHORT)
    monkeypatch.setitem(inline._ROLLOUT_ENGINES, "native", UpdatedInTheMiddle)
    rows = run(tmp_path / "updated", *SHORT)
    assert len(rows) == len(plain) == 2
    assert plain[0]["engine/mixed_version_responses"] == 0
    assert rows[0]["engine/mixed_version_responses"] > 0
    # The weights are the same, so what was drawn is, too.
    assert rows[0]["reward/mean"] == plain[0]["reward/mean"]


class AskedForTooMuch(NativeEngine):
    """Is asked once, while a job runs, for more than it can hold."""

    was_asked = False

    @override
    def check(self, requests: Sequence[GenerationRequest]) -> None:
        super().check(requests)
        if not self.was_asked:
            self.was_asked = True
            with pytest.raises(SpecError, match="RLC0630"):
                self.begin().submit([replace(requests[0], tokens=requests[0].tokens * 40)])


def test_a_request_that_is_refused_costs_the_job_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = run(tmp_path / "plain", *SHORT)
    monkeypatch.setitem(inline._ROLLOUT_ENGINES, "native", AskedForTooMuch)
    rows = run(tmp_path / "asked", *SHORT)
    assert rows[0]["engine/refused_requests"] == 1
    assert learned(rows) == learned(plain)
