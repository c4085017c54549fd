"""`rlc ckpt` on what a run wrote, with [checkpoint] keeping the newest and the best."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM

from compiler.ir.json_text import Json
from rlc.cli.main import main
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = pytest.mark.torch

KEEPS = 'keep_latest = 1\ncheckpoint.keep_best = 1\ncheckpoint.best_by = "eval.heldout.accuracy"'


def test_a_run_keeps_the_newest_and_the_best_and_they_are_told_and_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = write_experiment(tmp_path, spec=SPEC.replace('name = "grpo"\n', f'name = "grpo"\ncheckpoint.{KEEPS}\n'))
    run_dir = tmp_path / "run"
    assert main(["run", str(spec), "--run-dir", str(run_dir)]) == 0
    capsys.readouterr()
    left = [path.name for path in sorted((run_dir / "checkpoints").iterdir())]
    # Of the first stage the one that was measured and saved, step 4 or 6, and of both the last.
    assert left[-1] == "step_000014"
    assert len(left) <= 3
    assert main(["ckpt", "inspect", str(run_dir), "--json", "--verify"]) == 0
    told: list[dict[str, Json]] = json.loads(capsys.readouterr().out)
    assert [Path(str(one["path"])).name for one in told] == left
    assert {str(one["damage"]) for one in told} == {""}
    assert {one["parameters"] for one in told} == {1_856}
    assert main(["ckpt", "convert", str(run_dir), str(tmp_path / "out"), "--dtype", "bfloat16"]) == 0
    assert "13 tensors" in capsys.readouterr().out
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert sum(p.numel() for p in model.parameters()) == 1_856


def test_damage_is_found_when_it_is_looked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, run_dir = write_experiment(tmp_path), tmp_path / "run"
    assert main(["run", str(spec), "--run-dir", str(run_dir), "--set", "stages.grpo.run.max_steps=1"]) == 0
    (newest := sorted((run_dir / "checkpoints").iterdir())[-1]).joinpath("config.json").write_text("{}")
    capsys.readouterr()
    assert main(["ckpt", "inspect", str(newest)]) == 0
    assert "digest" not in capsys.readouterr().out
    assert main(["ckpt", "inspect", str(newest), "--verify"]) == 4
    assert "damaged: config.json has 2 bytes instead of" in capsys.readouterr().out
    shutil.rmtree(run_dir / "checkpoints")
    assert main(["ckpt", "inspect", str(run_dir)]) == 1
    assert "error[RLC0691]" in capsys.readouterr().err
