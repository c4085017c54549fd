"""A step taken apart: recorded, sampled alone, trained alone, and the alarm of engine and trainer.

The model is tiny; a run takes a second.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.train.torch_ import TorchTrainer
from tests.support.run_directory import newest_checkpoint, results_of, rows_of
from tests.support.tiny_experiment import MODEL, SPEC, write_experiment
from tests.support.tiny_experts import BALANCED, EXPERTS

pytestmark = pytest.mark.torch

ONE = f"""rlc = 1
name = "apart"
use = ["//recipes:grpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 4

[rollout]
max_prompt_tokens = 4
max_response_tokens = 6
prompts_per_step = 4
samples_per_prompt = 4

[reward]
name = "judge.py:reward"

[train]
global_batch = 8

[optim]
lr = 1e-2

[checkpoint]
interval = 1

[[data.train]]
path = "sums.jsonl"
"""
RECORD = "debug.record=true"
TRAIN_ONLY = ('debug.mode="train_only"', 'debug.replay="run/rollouts/main"')
ROLLOUT_ONLY = 'debug.mode="rollout_only"'


def run(folder: Path, *overrides: str, spec: str = ONE, into: str = "run") -> str:
    """Run a spec with changes, and return all that it printed."""
    path = write_experiment(folder, spec=spec)
    found = compile_spec(path, scan(), overrides=overrides)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    shown = io.StringIO()
    run_plan(found.plan, RunPlace(root=folder, run_dir=folder / into, stream=shown))
    return " ".join(shown.getvalue().split())


def refusal(folder: Path, *overrides: str) -> Diagnostic:
    """Return why a recording is not trained on."""
    with pytest.raises(SpecError) as fault:
        run(folder, *TRAIN_ONLY, *overrides, into="again")
    assert not (folder / "again" / "metrics.jsonl").exists()
    return fault.value.diagnostics[0]


def steps_of(folder: Path, into: str = "run") -> list[dict[str, Any]]:
    return [row for row in rows_of(folder / into) if "rollout/tokens" in row]


def learnt(run_dir: Path) -> dict[str, bytes]:
    """Return weights and state of the optimizers at the end; what waits in a buffer is nothing that is trained."""
    last = newest_checkpoint(run_dir)
    tensors = {**load_file(last / "model.safetensors"), **load_file(last / "trainer.safetensors")}
    return {name: t.numpy().tobytes() for name, t in tensors.items() if not name.startswith("buffer.")}


SEVERAL_STEPS = ("train.global_batch=8", "train.epochs_per_rollout=2")
CORRECTED = ('loss.old_logprobs="recompute"', 'loss.mismatch.bound="truncate"', 'loss.kl.estimator="k3"')
BUFFERED = (
    "rollout.buffer.max_staleness_steps=3",
    "rollout.buffer.partial=true",
    "rollout.buffer.oversample=2.0",
    "rollout.concurrency=6",
    "rollout.buffer.replay.frac=0.5",
    "train.epochs_per_rollout=2",
)


DRAFTED = (
    'model.family="glm4_moe"',
    *BALANCED,
    "model.num_mtp_layers=1",
    "train.mtp.loss_coef=0.3",
    'train.routing_replay="rollout"',
    'rollout.speculation.method="mtp"',
    "rollout.speculation.num_draft_tokens=2",
)


@pytest.mark.parametrize(
    "further",
    [
        SEVERAL_STEPS,
        CORRECTED,
        BUFFERED,
        ('use=["//recipes:ppo"]', "critic.lr=1e-2", "critic.warmup_rollouts=1"),
        ('use=["//recipes:remax"]', "rollout.samples_per_prompt=2", "train.global_batch=8"),
        ('rollout.filter.name="nonzero_std"', "rollout.filter.oversample=1.5"),
        (*DRAFTED, *BUFFERED),
    ],
    ids=["several steps", "corrected", "buffered", "critic", "greedy baselines", "filtered", "experts and drafts"],
)
def test_training_on_what_was_recorded_is_the_run_that_recorded_it_bit_by_bit(
    tmp_path: Path, further: tuple[str, ...]
) -> None:
    spec, overrides = ONE, further
    if further[0].startswith("use="):
        spec, overrides = ONE.replace('use = ["//recipes:grpo"]', further[0]), further[1:]
    run(tmp_path, RECORD, *overrides, spec=spec)
    run(tmp_path, *TRAIN_ONLY, *overrides, spec=spec, into="again")
    assert rows_of(tmp_path / "again") == rows_of(tmp_path / "run")
    assert learnt(tmp_path / "again") == learnt(tmp_path / "run")


def test_evaluations_of_training_alone_are_those_of_the_whole_run(tmp_path: Path) -> None:
    evaluated = SPEC + "debug.record = true\n"
    run(tmp_path, spec=evaluated)
    alone = SPEC + 'debug.mode = "train_only"\ndebug.replay = "run/rollouts/grpo"\n'
    run(tmp_path, spec=alone, into="again")
    assert any("eval/heldout/accuracy" in row for row in rows_of(tmp_path / "run"))
    assert results_of(tmp_path / "again") == results_of(tmp_path / "run")


def test_training_alone_builds_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path, RECORD)

    def none(*_: object, **__: object) -> None:
        raise AssertionError("an engine was built")

    monkeypatch.setattr(NativeEngine, "__init__", none)
    run(tmp_path, *TRAIN_ONLY, into="again")
    assert len(steps_of(tmp_path, "again")) == 4


def test_a_run_that_was_cut_goes_on_with_its_recording(tmp_path: Path) -> None:
    run(tmp_path / "whole", RECORD)
    run(tmp_path / "cut", RECORD, "run.max_steps=2")
    run(tmp_path / "cut", RECORD)
    for step in range(1, 5):
        for name in ("rollout.json", "tokens.safetensors"):
            path = Path("run", "rollouts", "main", f"step_{step:06d}", name)
            assert (tmp_path / "cut" / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


def test_training_alone_is_resumed_bit_by_bit(tmp_path: Path) -> None:
    run(tmp_path, RECORD)
    run(tmp_path, *TRAIN_ONLY, "run.max_steps=2", into="again")
    run(tmp_path, *TRAIN_ONLY, into="again")
    assert results_of(tmp_path / "again") == results_of(tmp_path / "run")


def test_rollouts_alone_leave_the_weights_and_build_no_trainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise AssertionError("a trainer was built")

    with monkeypatch.context() as patch:
        patch.setattr(TorchTrainer, "__init__", none)
        run(tmp_path, RECORD, ROLLOUT_ONLY)
    rows = steps_of(tmp_path)
    assert len(rows) == 4
    assert not [name for row in rows for name in row if name.startswith("train/")]
    checkpoints = sorted((tmp_path / "run" / "checkpoints").glob("step_*"))
    assert len(checkpoints) == 4
    assert len({(path / "model.safetensors").read_bytes() for path in checkpoints}) == 1
    # The first step of a whole run samples from the same weights.
    run(tmp_path, into="whole")
    whole = steps_of(tmp_path, "whole")[0]
    assert {name: whole[name] for name in rows[0] if name.startswith(("rollout/", "reward/"))} == {
        name: value for name, value in rows[0].items() if name.startswith(("rollout/", "reward/"))
    }
    run(tmp_path, *TRAIN_ONLY, into="again")
    assert "train/loss" in steps_of(tmp_path, "again")[3]


def test_rollouts_alone_are_resumed(tmp_path: Path) -> None:
    run(tmp_path / "whole", ROLLOUT_ONLY)
    run(tmp_path / "cut", ROLLOUT_ONLY, "run.max_steps=2")
    run(tmp_path / "cut", ROLLOUT_ONLY)
    assert results_of(tmp_path / "cut" / "run") == results_of(tmp_path / "whole" / "run")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("rollout.samples_per_prompt=2", "rollout.samples_per_prompt is 4 in the recording and 2 here"),
        ("model.hidden_size=8", "model.hidden_size is 16 in the recording and 8 here"),
        ('model.tokenizer.alphabet="=+0123456789"', 'model.tokenizer.alphabet is "0123456789+=" in the recording'),
        ("run.seed=7", "run.seed is 0 in the recording and 7 here"),
        ("rollout.sampling.temperature=0.5", "rollout.sampling.temperature is 1.0 in the recording and 0.5 here"),
    ],
)
def test_a_recording_of_another_experiment_is_refused(tmp_path: Path, change: str, said: str) -> None:
    run(tmp_path, RECORD)
    fault = refusal(tmp_path, change)
    assert (fault.code, said in fault.message) == ("RLC0787", True)


def test_another_learning_rate_is_no_other_experiment(tmp_path: Path) -> None:
    run(tmp_path, RECORD)
    run(tmp_path, *TRAIN_ONLY, "optim.lr=1e-3", into="again")
    assert steps_of(tmp_path, "again")[0]["reward/mean"] == steps_of(tmp_path)[0]["reward/mean"]
    assert steps_of(tmp_path, "again")[0]["train/lr"] == 1e-3


def test_other_settings_of_the_rollout_are_told_and_the_same_are_not(tmp_path: Path) -> None:
    run(tmp_path, RECORD)
    assert "RLC0755" not in run(tmp_path, *TRAIN_ONLY, into="same")
    shown = run(tmp_path, *TRAIN_ONLY, "rollout.max_response_tokens=7", "rollout.concurrency=3", into="other")
    assert "RLC0755: stage main: " in shown
    assert "was recorded under other settings: rollout.concurrency is 16 in the recording and 3 here, and " in shown
    assert steps_of(tmp_path, "other")[0]["reward/mean"] == steps_of(tmp_path)[0]["reward/mean"]


ROUTED = ('model.family="qwen3_moe"', *EXPERTS)
REPLAYED = 'train.routing_replay="rollout"'


def test_experts_are_replayed_only_where_they_were_recorded(tmp_path: Path) -> None:
    run(tmp_path / "without", *ROUTED, RECORD)
    fault = refusal(tmp_path / "without", *ROUTED, REPLAYED)
    assert fault.code == "RLC0787"
    assert "experts that the engine chose is false in the recording and true here" in fault.message
    run(tmp_path / "with", *ROUTED, REPLAYED, RECORD)
    run(tmp_path / "with", *ROUTED, *TRAIN_ONLY, into="again")
    assert len(steps_of(tmp_path / "with", "again")) == 4


def test_a_recording_that_is_too_short_is_refused(tmp_path: Path) -> None:
    run(tmp_path, RECORD)
    shutil.rmtree(tmp_path / "run" / "rollouts" / "main" / "step_000003")
    fault = refusal(tmp_path)
    assert fault.code == "RLC0788"
    assert fault.help[0].text == "set run.max_steps = 2"


def test_a_folder_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path).code == "RLC0786"


@pytest.mark.parametrize("damage", ["cut", "other tokens", "no text"])
def test_a_damaged_step_ends_the_run_by_its_name(tmp_path: Path, damage: str) -> None:
    run(tmp_path, RECORD)
    step = tmp_path / "run" / "rollouts" / "main" / "step_000002"
    tokens, rollout = step / "tokens.safetensors", step / "rollout.json"
    if damage == "cut":
        rollout.write_bytes(rollout.read_bytes()[:-20])
    elif damage == "other tokens":
        tokens.write_bytes(tokens.read_bytes()[:-1] + b"\x01")
    else:
        rollout.unlink()
    with pytest.raises(SpecError) as fault:
        run(tmp_path, *TRAIN_ONLY, into="again")
    (found,) = fault.value.diagnostics
    assert (found.code, "step_000002" in found.message) == ("RLC0786", True)
    assert len(steps_of(tmp_path, "again")) == 1


def test_a_disk_that_is_full_says_so(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "rollouts").write_text("a file, where a folder belongs")
    with pytest.raises(SpecError) as fault:
        run(tmp_path, RECORD)
    assert fault.value.diagnostics[0].code == "RLC0789"


def test_a_recording_is_text_and_tensors(tmp_path: Path) -> None:
    run(tmp_path, RECORD)
    folder = tmp_path / "run" / "rollouts" / "main"
    assert sorted(path.name for path in folder.iterdir()) == [
        "recording.json",
        *(f"step_{step:06d}" for step in range(1, 5)),
    ]
    told = json.loads((folder / "step_000001" / "rollout.json").read_text(encoding="utf-8"))
    assert told["metrics"]["reward/mean"] == steps_of(tmp_path)[0]["reward/mean"]
    assert len(told["groups"]["finished"]) == 4


class Broken:
    """Lets an engine receive other weights than were sent, from a version on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, from_version: int) -> None:
        load = NativeEngine.load_weights

        def load_weights(engine: NativeEngine, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
            generator = torch.Generator().manual_seed(0)
            is_broken = version >= from_version
            load(
                engine,
                ((n, t + is_broken * torch.randn(t.shape, generator=generator)) for n, t in tensors),
                version=version,
            )

        monkeypatch.setattr(NativeEngine, "load_weights", load_weights)


@pytest.mark.parametrize("further", [(), CORRECTED], ids=["in the first optimizer step", "from old log-probs"])
def test_a_sound_run_has_a_gap_of_rounding_and_no_alarm(tmp_path: Path, further: tuple[str, ...]) -> None:
    said = run(tmp_path, *further, "run.max_steps=3", "debug.logprob_gap.steps=1")
    assert "RLC0785" not in said
    for row in steps_of(tmp_path):
        assert 0 < row["train/logprob_gap"] <= row["train/logprob_gap_max"] < 1e-4
        assert row["train/logprob_gap_beyond_frac"] == 0
        assert abs(row["train/logprob_gap_k1"]) < 1e-4
        assert 0 <= row["train/logprob_gap_k3"] < 1e-6


def test_weights_that_do_not_arrive_raise_the_alarm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Broken(monkeypatch, from_version=1)
    said = run(tmp_path, "run.max_steps=6", "debug.logprob_gap.steps=2")
    gaps = [row["train/logprob_gap"] for row in steps_of(tmp_path)]
    assert gaps[0] < 1e-4
    assert min(gaps[1:]) > 0.1
    assert said.count("RLC0785") == 1
    assert "RLC0785: stage main, step 3" in said


def test_the_alarm_may_end_the_run_and_the_last_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Broken(monkeypatch, from_version=1)
    with pytest.raises(SpecError) as fault:
        run(tmp_path, "run.max_steps=6", "debug.logprob_gap.steps=2", 'debug.logprob_gap.action="stop"')
    assert fault.value.diagnostics[0].code == "RLC0785"
    assert len(steps_of(tmp_path)) == 3
    assert newest_checkpoint(tmp_path / "run").name == "step_000002"


def test_a_row_of_wide_steps_goes_on_behind_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Broken(monkeypatch, from_version=1)
    settings = ("debug.logprob_gap.steps=3",)
    assert "RLC0785" not in run(tmp_path, *settings, "run.max_steps=3")

    # The engine is compared after its first update in a process, so that a resume would find the fault by itself.
    def nothing(*_: object, **__: object) -> None: ...

    monkeypatch.setattr("runtime.weights.sync.verify_weights", nothing)
    assert "RLC0785: stage main, step 4" in run(tmp_path, *settings, "run.max_steps=4")


@pytest.mark.parametrize(("verify", "is_found"), [("first", False), ("every", True)])
def test_weights_are_compared_after_every_update_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verify: str, is_found: bool
) -> None:
    Broken(monkeypatch, from_version=2)
    if not is_found:
        run(tmp_path, f'debug.verify_sync="{verify}"')
        return
    with pytest.raises(SpecError, match=r"model\.embed_tokens\.weight differs in .* numbers, by [0-9.]+ at most"):
        run(tmp_path, f'debug.verify_sync="{verify}"')


def test_the_gap_of_a_student_is_measured_too(tmp_path: Path) -> None:
    teacher = MODEL.replace("[model", "[teacher")
    spec = ONE.replace("//recipes:grpo", "//recipes:on_policy_distillation") + teacher
    spec = spec.replace('[reward]\nname = "judge.py:reward"\n', "")
    run(tmp_path, "loss.temperature=2.0", spec=spec)
    for row in steps_of(tmp_path):
        assert 0 < row["train/logprob_gap"] < 1e-4


def test_a_gap_is_read_from_the_first_optimizer_step_only(tmp_path: Path) -> None:
    run(tmp_path, "optim.lr=1.0", "train.global_batch=8", "run.max_steps=1")
    (row,) = steps_of(tmp_path)
    assert row["train/logprob_gap"] < 1e-4
