"""Every experiment that is shipped, shrunk, runs a step of each of its stages on one CPU process."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from compiler.compile import compile_spec, experiments_of
from compiler.frontend.session import Session
from rlc.catalogue import scan
from rlc.running import Place, prepare
from runtime.driver import RunPlace, run_plan
from tests.support.processes import Server
from tests.support.run_directory import newest_checkpoint, rows_of

pytestmark = [pytest.mark.torch, pytest.mark.slow]

CONFIG = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000,
    "tie_word_embeddings": True,
}
CHAT = """rlc = 1
name = "chat"
model.hf = "large"
cluster.target = "cpu"
reward.name = "math"
eval.sets = [{ name = "held", path = "chats.jsonl" }]
data.train = [{ path = "chats.jsonl" }]

[rollout]
max_prompt_tokens = "4Ki"
max_response_tokens = "8Ki"

[[stages]]
name = "sft"
use = ["//recipes:sft"]
run.max_steps = 12
train.global_batch = 64

[[stages]]
name = "grpo"
use = ["//recipes:grpo"]
run.max_steps = 400
rollout.prompts_per_step = 32
rollout.samples_per_prompt = 4
train.global_batch = 128
"""
OTHER_FACTS = """model.head_dim = 128
model.vocab_size = 151552
model.max_position_tokens = 32768
model.rope_base = 5e5
model.norm_eps = 1e-5
model.tie_embeddings = false
"""
OWN_FACTS = {
    "llama": "",
    "qwen2": "model.qkv_bias = true\n",
    "glm4": (
        "model.qkv_bias = true\nmodel.post_norms = true\nmodel.rope_interleaved = true\nmodel.rope_fraction = 0.5\n"
    ),
}
ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(p.relative_to(ROOT) for kind in ("*.toml", "*.star") for p in (ROOT / "experiments").rglob(kind))
SESSION = Session(scan().stdlib)
SHIPPED = [(file, name) for file in FILES for name in experiments_of(ROOT / file, SESSION)]
# Of networks that no engine of a CPU computes, and what it is that none does.
BEYOND = {Path("experiments/grpo_glm4_5_air.toml"): "glm4_moe"}


@pytest.mark.parametrize(("spec", "name"), [one for one in SHIPPED if one[0] not in BEYOND], ids=str)
def test_a_shipped_experiment_runs_shrunk(spec: Path, name: str, tmp_path: Path) -> None:
    one = name or None
    compiled = compile_spec(ROOT / spec, scan(), overrides=("run.max_steps=1",), shrink=True, name=one)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    assert compiled.root is not None
    stream = io.StringIO()
    place = RunPlace(root=compiled.root, run_dir=tmp_path / "run", stream=stream)
    assert run_plan(compiled.plan, place) == "finished"
    steps = {row["stage"]: row["step"] for row in rows_of(tmp_path / "run") if "train/loss" in row}
    assert steps == {stage.name: 1 for stage in compiled.plan.experiment.stages}
    assert (newest_checkpoint(tmp_path / "run") / "config.json").exists()


@pytest.mark.parametrize("spec", BEYOND, ids=str)
def test_a_shipped_experiment_that_no_engine_of_a_cpu_computes_says_what_is_missing(spec: Path) -> None:
    assert compile_spec(ROOT / spec, scan()).plan is not None
    (found,) = compile_spec(ROOT / spec, scan(), shrink=True).diagnostics
    families = scan().load_target("cpu").families
    assert BEYOND[spec] not in families
    message = f"the engines of target cpu do not know the architecture {BEYOND[spec]}"
    assert (found.code, found.message) == ("RLC0502", message)
    assert [way.text for way in found.help] == [f"they know: {', '.join(families)}"]


def test_a_model_of_real_sizes_without_its_checkpoint_runs_on_long_conversations(tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "large/config.json").write_text(json.dumps(CONFIG))
    asked = {"role": "user", "content": "Wie gro\u00df ist ein Byte? " * 300}
    (tmp_path / "chats.jsonl").write_text(json.dumps({"input": [asked], "label": "8 Bit"}) + "\n")
    (tmp_path / "spec.toml").write_text(CHAT)
    compiled = compile_spec(tmp_path / "spec.toml", scan(), shrink=True)
    assert compiled.plan is not None, compiled.diagnostics
    stream = io.StringIO()
    assert run_plan(compiled.plan, RunPlace(root=tmp_path, run_dir=tmp_path / "run", stream=stream)) == "finished"
    rows = rows_of(tmp_path / "run")
    assert [row["stage"] for row in rows if "train/loss" in row] == ["sft", "sft", "grpo", "grpo"]
    assert "warning: RLC0605: 1 row of the training data too long and cut at the front" in stream.getvalue()
    shown = json.loads(next((tmp_path / "run/transcripts").glob("stage_grpo_*")).read_text().splitlines()[0])
    assert shown["prompt"].endswith("ist ein Byte? \nassistant: ")


@pytest.mark.parametrize(
    ("family", "sizes"),
    [("qwen2", (28, 3584, 18944, 28, 4)), ("llama", (32, 4096, 14336, 32, 8)), ("glm4", (40, 4096, 13696, 32, 2))],
    ids=["Qwen2.5-7B", "Llama-3-8B", "GLM-Z1-9B"],
)
def test_models_of_other_families_run_shrunk(family: str, sizes: tuple[int, ...], tmp_path: Path) -> None:
    names = ("num_layers", "hidden_size", "intermediate_size", "num_heads", "num_kv_heads")
    facts = "".join(f"model.{name} = {size}\n" for name, size in zip(names, sizes, strict=True))
    facts += f'model.family = "{family}"\nmodel.weights = "checkpoints/large"\n' + OTHER_FACTS + OWN_FACTS[family]
    (tmp_path / "chats.jsonl").write_text('{"input": "1 + 1?", "label": "2"}\n' * 3)
    (tmp_path / "spec.toml").write_text(CHAT.replace('model.hf = "large"\n', facts))
    compiled = compile_spec(tmp_path / "spec.toml", scan(), overrides=("run.max_steps=1",), shrink=True)
    assert compiled.plan is not None, [d.message for d in compiled.diagnostics]
    place = RunPlace(root=tmp_path, run_dir=tmp_path / "run", stream=io.StringIO())
    assert run_plan(compiled.plan, place) == "finished"
    rows = [row for row in rows_of(tmp_path / "run") if "train/loss" in row]
    assert [row["stage"] for row in rows] == ["sft", "grpo"]
    assert rows[1]["train/logprob_gap"] < 1e-5


def test_the_verb_runs_a_shrunk_experiment_in_a_directory_of_its_own(server: Server, home: Path) -> None:
    ended = server.run("run", "spec.toml", "--shrink", cwd=home)
    assert (ended.code, ended.err) == (0, "")
    assert rows_of(home / "runs" / "tiny-shrunk")[-1]["step"] > 0


def test_a_saved_plan_cannot_be_shrunk(home: Path, tmp_path: Path) -> None:
    plan = compile_spec(home / "spec.toml", scan()).plan
    assert plan is not None
    (tmp_path / "plan.json").write_text(plan.to_text())
    (found,) = prepare(tmp_path / "plan.json", overrides=(), place=Place(root=home), shrink=True).diagnostics
    assert (found.code, "--shrink changes a spec" in found.message) == ("RLC0017", True)
