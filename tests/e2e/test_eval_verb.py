"""`rlc eval`: the numbers of a checkpoint alone are those of its run, and what does not belong together is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.processes import Ended, Server
from tests.support.run_directory import rows_of
from tests.support.tiny_experiment import SPEC, write_experiment

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SEVERAL = SPEC.replace(
    """[eval]
correct_at = 0.2
""",
    """[[eval.sets]]
name = "large"
path = "heldout.jsonl"
samples_per_prompt = 6
k = [1, 2, 6]
metrics = ["pass", "avg", "cons"]
answer = "last_number"
max_response_tokens = 2
sampling.temperature = 0.7
greedy = false

[[eval.sets]]
name = "strict"
path = "heldout.jsonl"
reward.name = "exact"
correct_at = 1.0

[eval]
correct_at = 0.2
samples_per_prompt = 4
""",
)


@pytest.fixture(scope="module")
def several(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run with several held-out sets, in `run`."""
    folder = write_experiment(tmp_path_factory.mktemp("several"), spec=SEVERAL).parent
    ended = server.run("run", "spec.toml", "--run-dir", "run", cwd=folder)
    assert ended.code == 0, ended.err
    return folder


def measured(path: Path) -> dict[str, float]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {f"eval/{s}/{name}": v for s, found in record["sets"].items() for name, v in found["metrics"].items()}


def evaluation(run_dir: Path, stage: str, step: int) -> dict[str, float]:
    rows = [row for row in rows_of(run_dir) if (row["stage"], row["step"]) == (stage, step)]
    found = next(row for row in rows if "eval/heldout/accuracy" in row)
    of_sets = {key: value for key, value in found.items() if key.count("/") == 2}
    return {key: float(value) for key, value in of_sets.items() if key.startswith("eval/")}


def test_each_set_is_measured_as_it_says(several: Path) -> None:
    found = evaluation(several / "run", "grpo", 8)
    names = {key.removeprefix("eval/large/") for key in found if key.startswith("eval/large/")}
    metrics = {"accuracy", "pass@1", "pass@2", "pass@6", "avg@6", "cons@1", "cons@2", "cons@6"}
    bounds = {f"{name}_{end}" for name in metrics for end in ("low", "high")}
    assert names == metrics | bounds | {"num_prompts", "response_tokens_mean"}
    assert found["eval/large/accuracy"] == found["eval/large/pass@1"] == found["eval/large/avg@6"]
    assert found["eval/large/pass@1"] <= found["eval/large/pass@2"] <= found["eval/large/pass@6"]
    assert found["eval/large/response_tokens_mean"] <= 2
    assert {key for key in found if key.startswith("eval/heldout/pass")} == {
        f"eval/heldout/pass@{k}{end}" for k in (2, 4) for end in ("", "_low", "_high")
    }
    # Two digits earn 0.2: right by the reward of the stage, and wrong by the exact one.
    early = evaluation(several / "run", "sft", 4)
    assert early["eval/strict/accuracy"] < early["eval/heldout/accuracy"]


def test_the_latest_checkpoint_alone_has_the_numbers_of_its_run(server: Server, several: Path) -> None:
    ended = server.run("eval", "spec.toml", "--run-dir", "run", cwd=several)
    assert (ended.code, ended.err) == (0, "")
    assert measured(several / "run" / "eval.json") == evaluation(several / "run", "grpo", 8)
    assert "large    pass@6" in ended.out
    assert ended.out.rstrip().endswith("written to run/eval.json")


def test_an_earlier_checkpoint_has_the_numbers_of_its_step_and_stage(server: Server, several: Path) -> None:
    path = several / "run" / "checkpoints" / "step_000004"
    ended = server.run("eval", "run/plan.json", "--checkpoint", path, "-o", "four.json", cwd=several)
    assert (ended.code, ended.err) == (0, "")
    assert measured(several / "four.json") == evaluation(several / "run", "sft", 4)
    record = json.loads((several / "four.json").read_text())
    assert (record["checkpoint"], record["stage"], record["step"]) == ("step_000004", "sft", 4)
    assert record["checkpoint_plan"] == record["plan"]


def test_a_set_alone_has_the_numbers_that_it_has_among_others(server: Server, several: Path) -> None:
    ended = server.run("eval", "run/plan.json", "--only", "large", "-o", "large.json", cwd=several)
    assert ended.code == 0
    expected = evaluation(several / "run", "grpo", 8)
    assert measured(several / "large.json") == {k: v for k, v in expected.items() if k.startswith("eval/large/")}


def test_samples_and_prompts_are_chosen_on_the_line(server: Server, several: Path) -> None:
    ended = server.run("eval", "run/plan.json", "-n", "3", "--prompts", "2", "-o", "few.json", cwd=several)
    assert ended.code == 0
    found = measured(several / "few.json")
    assert found["eval/heldout/num_prompts"] == 2
    assert {"eval/large/pass@2", "eval/large/cons@2"} <= found.keys()
    assert "eval/large/pass@6" not in found
    record = json.loads((several / "few.json").read_text())
    assert record["sets"]["heldout"]["samples_per_prompt"] == 3
    assert record["asked"] == {"sets": [], "samples": 3, "prompts": 2}


def test_the_initial_weights_need_no_run(server: Server, several: Path, tmp_path: Path) -> None:
    write_experiment(tmp_path, spec=SEVERAL)
    ended = server.run("eval", "spec.toml", "--checkpoint", "initial", "--stage", "grpo", cwd=tmp_path)
    assert ended.code == 0
    record = json.loads((tmp_path / "runs" / "tiny" / "eval.json").read_text())
    assert (record["checkpoint"], record["stage"], record["global_step"]) == ("initial", "grpo", 0)
    # The directory holds no run: one may still begin there.
    assert server.run("run", "spec.toml", cwd=tmp_path).code == 0
    assert evaluation(tmp_path / "runs" / "tiny", "grpo", 8) == evaluation(several / "run", "grpo", 8)


def test_how_it_is_measured_may_differ_from_the_run(server: Server, several: Path) -> None:
    line = ("eval", "spec.toml", "--run-dir", "run", "--set", "eval.sets[0].samples_per_prompt=2", "-o", "two.json")
    assert server.run(*line, cwd=several).code == 0
    assert "eval/heldout/pass@2" in measured(several / "two.json")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (("spec.toml",), "RLC0691"),
        (("spec.toml", "--checkpoint", "nowhere"), "RLC0691"),
        (("spec.toml", "--checkpoint", "."), "RLC0691"),
        (("spec.toml", "--run-dir", "run", "--only", "heldut"), "RLC0693"),
        (("spec.toml", "--run-dir", "run", "--stage", "dpo"), "RLC0693"),
        (("spec.toml", "--run-dir", "run", "--set", "optim.lr=0.5"), "RLC0695"),
        (("spec.toml", "--run-dir", "run", "--set", "model.hidden_size=32"), "RLC0695"),
        (("spec.toml", "--run-dir", "run", "-o", "spec.toml/eval.json"), "RLC0022"),
        (("greedy.toml", "--run-dir", "run", "-n", "4"), "RLC0694"),
        (("plain.toml", "--checkpoint", "initial"), "RLC0692"),
    ],
)
def test_what_cannot_be_evaluated_is_said(server: Server, several: Path, line: tuple[str, ...], code: str) -> None:
    greedy = SEVERAL.replace("samples_per_prompt = 4\n", "sampling.temperature = 0\n", 1)
    (several / "greedy.toml").write_text(greedy, encoding="utf-8")
    (several / "plain.toml").write_text(_without_evaluation(), encoding="utf-8")
    ended = server.run("eval", *line, cwd=several)
    assert ended.code == 1
    assert f"error[{code}]" in ended.err


def _without_evaluation() -> str:
    """The second stage alone; the first, if it evaluates nothing, would have no use for [rollout]."""
    before, _, rest = SPEC.partition("[[eval.sets]]")
    stage = rest.split("[[stages]]")[2].replace("eval.interval = 3\n", "")
    return f"{before}[[stages]]{stage}"


def test_a_checkpoint_without_its_run_is_known_by_the_hash_of_its_plan(
    server: Server, several: Path, tmp_path: Path
) -> None:
    alone = tmp_path / "step_000014"
    shutil.copytree(several / "run" / "checkpoints" / "step_000014", alone)
    assert server.run("eval", "spec.toml", "--checkpoint", alone, "-o", "alone.json", cwd=several).code == 0
    line = ("eval", "spec.toml", "--checkpoint", alone, "--set", "optim.lr=0.5")
    ended = server.run(*line, cwd=several)
    assert ended.code == 1
    assert "error[RLC0695]" in ended.err
    (alone / "model.safetensors").write_bytes(b"short")
    ended = server.run("eval", "spec.toml", "--checkpoint", alone, cwd=several)
    assert ended.code == 1
    assert "error[RLC0691]" in ended.err


def test_a_bound_on_several_responses_ends_a_stage(server: Server, tmp_path: Path) -> None:
    bounded = SEVERAL.replace('name = "sft"\n', 'name = "sft"\nuntil = "eval.large.pass@6 >= 0.0"\n')
    write_experiment(tmp_path, spec=bounded)
    ended: Ended = server.run("run", "spec.toml", "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 0, ended.err
    steps = [row["step"] for row in rows_of(tmp_path / "run") if row["stage"] == "sft" and "train/loss" in row]
    assert steps[-1] == 4


def test_what_was_trained_small_is_measured_small(server: Server, tmp_path: Path) -> None:
    write_experiment(tmp_path, spec=SPEC.replace("num_layers = 1\n", "num_layers = 12\n"))
    assert server.run("run", "spec.toml", "--shrink", "--run-dir", "run", cwd=tmp_path).code == 0
    ended = server.run("eval", "spec.toml", "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 1
    assert "error[RLC0695]" in ended.err
    ended = server.run("eval", "spec.toml", "--shrink", "--run-dir", "run", cwd=tmp_path)
    assert ended.code == 0, ended.err
    last = [row for row in rows_of(tmp_path / "run") if "eval/heldout/accuracy" in row][-1]
    assert measured(tmp_path / "run" / "eval.json")["eval/heldout/accuracy"] == last["eval/heldout/accuracy"]


def test_an_evaluation_is_held_against_a_policy(server: Server, several: Path) -> None:
    (several / "lab.star").write_text('require("run.seed > 1000", "seeds are drawn")\n', encoding="utf-8")
    line = ("eval", "spec.toml", "--run-dir", "run", "-o", "held.json")
    assert server.run(*line, cwd=several).code == 0
    ended = server.run(*line, "--policy", "lab.star", cwd=several)
    assert ended.code == 1
    assert "error[RLC0325]: the policy does not hold: seeds are drawn" in ended.err
