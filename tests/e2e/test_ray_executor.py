"""A run on Ray, in processes of its own, against the same run in one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Ended, Server

pytestmark = [pytest.mark.torch, pytest.mark.slow]

ON_RAY = ("--set", 'run.executor="ray"')


def _rows(run_dir: Path) -> list[dict[str, Any]]:
    lines = (run_dir / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if not k.startswith("time/")} for line in lines]


@pytest.fixture(scope="module")
def on_ray(server: Server, home: Path) -> tuple[Path, Ended]:
    """The run directory of the tiny experiment on Ray, and how it ended."""
    run_dir = home / "on_ray"
    return run_dir, server.run("run", "spec.toml", "--run-dir", run_dir, *ON_RAY, cwd=home)


def test_every_metric_of_every_step_is_bit_by_bit_that_of_one_process(
    on_ray: tuple[Path, Ended], undisturbed: tuple[Path, Ended]
) -> None:
    assert (on_ray[1].code, on_ray[1].err) == (0, "")
    assert _rows(on_ray[0]) == _rows(undisturbed[0])


def test_the_last_checkpoint_has_the_same_bytes(on_ray: tuple[Path, Ended], undisturbed: tuple[Path, Ended]) -> None:
    for name in ("model.safetensors", "trainer.safetensors"):
        last = [sorted((run / "checkpoints").glob("step_*"))[-1] / name for run, _ in (on_ray, undisturbed)]
        assert last[0].read_bytes() == last[1].read_bytes()
