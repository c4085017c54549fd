"""`--shrink`: what is kept, what is reduced, who wins, and where it is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF
from compiler.ir.paths import read
from compiler.lowering.shrink import JUDGE_URL, MAX_STEPS, PROMPT_TOKENS, PROMPTS_PER_STEP, RESPONSE_TOKENS
from compiler.lowering.shrink_model import MOST_HEADS
from rlc.catalogue import scan
from tests.support.good_spec import GPU, GRPO, SFT

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
LARGE = {k: v for k, v in GRPO.items() if k != "model.name"} | {
    "model.hf": '"large"',
    "run.max_steps": "500",
    "rollout.prompts_per_step": "256",
    "rollout.max_prompt_tokens": "1024",
    "rollout.max_response_tokens": "8192",
    "train.global_batch": "512",
    "optim.warmup_steps": "20",
}


def shrunk(folder: Path, changes: dict[str, str], *overrides: str, base: dict[str, str] = LARGE) -> Compiled:
    (folder / "large").mkdir(exist_ok=True)
    (folder / "large/config.json").write_text(json.dumps(CONFIG))
    text = "".join(f"{path} = {value}\n" for path, value in {**base, **changes}.items())
    (folder / "spec.toml").write_text(text)
    return compile_spec(folder / "spec.toml", scan(), overrides=overrides, shrink=True)


def experiment(found: Compiled) -> Experiment[object]:
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan.experiment


def test_the_architecture_is_kept_and_its_sizes_are_not(tmp_path: Path) -> None:
    model = experiment(shrunk(tmp_path, {})).model
    assert (model.family, model.rope_base, model.norm_eps, model.tie_embeddings) == ("qwen3", 1e6, 1e-6, True)
    assert model.max_position_tokens == 40960
    assert (model.num_layers, model.hidden_size, model.intermediate_size, model.head_dim) == (2, 64, 128, 16)
    assert (model.weights, model.hf, model.tokenizer.kind, model.vocab_size) == ("random", OFF, "bytes", 258)


@pytest.mark.parametrize(("queries", "keys"), [(32, 8), (28, 4), (32, 2), (14, 2), (8, 8), (24, 8), (1, 1)])
def test_query_heads_share_key_heads_in_the_same_ratio(tmp_path: Path, queries: int, keys: int) -> None:
    heads = {"model.num_heads": str(queries), "model.num_kv_heads": str(keys)}
    base = {**GRPO, "model.name": '"//models:tiny_qwen3"', **heads}
    model = experiment(shrunk(tmp_path, {}, base=base)).model
    assert model.num_heads * keys == queries * model.num_kv_heads
    assert model.num_kv_heads <= 2
    assert model.num_heads <= max(MOST_HEADS, queries // keys)
    assert model.hidden_size % model.num_heads == 0


@pytest.mark.parametrize(("prompts", "group", "batch"), [(256, 8, 512), (128, 8, 128), (30, 3, 18), (2, 8, 8)])
def test_the_batch_identity_holds_with_the_same_group_and_steps(
    tmp_path: Path, prompts: int, group: int, batch: int
) -> None:
    settings = {
        "rollout.prompts_per_step": str(prompts),
        "rollout.samples_per_prompt": str(group),
        "train.global_batch": str(batch),
    }
    (stage,) = experiment(shrunk(tmp_path, settings)).stages
    steps = prompts * group // batch
    assert read(stage, "rollout.samples_per_prompt") == group
    assert read(stage, "train.steps_per_rollout") == steps
    small = read(stage, "rollout.prompts_per_step")
    assert isinstance(small, int)
    assert small <= max(PROMPTS_PER_STEP, steps)
    assert read(stage, "train.global_batch") == small * group // steps
    assert small * group % steps == 0


def test_a_stage_is_short_in_every_direction(tmp_path: Path) -> None:
    (stage,) = experiment(shrunk(tmp_path, {"checkpoint.interval": "20"})).stages
    assert stage.run.max_steps == MAX_STEPS
    assert read(stage, "rollout.max_prompt_tokens") == PROMPT_TOKENS
    assert read(stage, "rollout.max_response_tokens") == RESPONSE_TOKENS
    assert read(stage, "rollout.max_context_tokens") == PROMPT_TOKENS + RESPONSE_TOKENS
    assert read(stage, "rollout.overlong_prompts") == "truncate"
    assert read(stage, "optim.total_steps") == MAX_STEPS * 4
    assert (stage.optim.warmup_steps, stage.checkpoint.interval) == (MAX_STEPS * 4 - 1, 1)


def test_a_supervised_stage_shrinks_its_batch(tmp_path: Path) -> None:
    (stage,) = experiment(shrunk(tmp_path, {"train.global_batch": "256"}, base=SFT)).stages
    assert (stage.train.global_batch, stage.run.max_steps) == (8, MAX_STEPS)


def test_what_is_small_already_stays_as_it_is(tmp_path: Path) -> None:
    found = shrunk(tmp_path, {"run.max_steps": "1"}, base=GRPO)
    assert experiment(found).stages[0].run.max_steps == 1
    assert found.shrunk is not None
    assert "run.max_steps" not in [change.path for change in found.shrunk.changes]


def test_set_wins_over_shrink(tmp_path: Path) -> None:
    found = experiment(shrunk(tmp_path, {}, "run.max_steps=7", "model.num_layers=3", "train.global_batch=1024"))
    assert (found.stages[0].run.max_steps, found.model.num_layers) == (7, 3)
    assert found.stages[0].train.global_batch == 1024


def test_the_plan_has_another_name_so_that_runs_do_not_meet(tmp_path: Path) -> None:
    assert experiment(shrunk(tmp_path, {})).name == "case-shrunk"


def test_every_change_is_listed_with_what_was_there(tmp_path: Path) -> None:
    found = shrunk(tmp_path, {})
    assert found.shrunk is not None
    listed = {change.path: (change.before, change.after) for change in found.shrunk.changes}
    assert listed["model.hidden_size"] == (2560, 64)
    assert listed["rollout.prompts_per_step"] == (256, 4)
    assert listed["model.hf"] == ("large", OFF)
    assert "model.rope_base" not in listed


def test_the_origin_of_a_shrunk_field_says_so_and_what_it_won_over(tmp_path: Path) -> None:
    found = shrunk(tmp_path, {})
    assert found.subject is not None
    origin = found.subject.origins["stages.0.rollout.prompts_per_step"]
    assert origin.span is not None
    assert (origin.kind, origin.span.text, origin.span.file.name) == ("shrunk", "4", "--shrink")
    assert "256 in the experiment" in origin.span.file.line(origin.span.line)
    assert [lost.kind for lost in origin.shadowed] == ["spec"]


def test_stages_of_a_list_shrink_one_by_one(tmp_path: Path) -> None:
    shared = {k: v for k, v in GRPO.items() if k not in ("use", "run.max_steps")}
    text = "".join(f"{path} = {value}\n" for path, value in shared.items())
    for name, steps in (("first", 9), ("second", 1)):
        text += f'[[stages]]\nname = "{name}"\nuse = ["//recipes:grpo"]\nrun.max_steps = {steps}\n'
    (tmp_path / "spec.toml").write_text(text)
    found = experiment(compile_spec(tmp_path / "spec.toml", scan(), shrink=True))
    assert [stage.run.max_steps for stage in found.stages] == [2, 1]


def test_a_spec_with_an_error_is_not_shrunk(tmp_path: Path) -> None:
    found = shrunk(tmp_path, {"train.global_batch": "500"})
    assert found.plan is None
    assert found.shrunk is None
    assert found.diagnostics


def test_the_plan_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = (shrunk(tmp_path, {}).plan for _ in range(2))
    assert first == second


def test_what_ran_beside_training_waits_for_it(tmp_path: Path) -> None:
    split = {"schedule.mode": '"async"', "placement.mode": '"split"', "placement.train_gpus": "4"}
    assert experiment(shrunk(tmp_path, split, base=GPU)).stages[0].schedule.mode == "sync"


def test_a_buffer_is_kept_and_its_replay_is_a_whole_group_of_the_smaller_step(tmp_path: Path) -> None:
    buffer = {
        "rollout.buffer.partial": "true",
        "rollout.buffer.oversample": "1.5",
        "rollout.buffer.max_staleness_steps": "4",
        "rollout.buffer.replay.frac": "0.05",
    }
    stage = "stages.0.rollout"
    found = experiment(shrunk(tmp_path, buffer))
    assert read(found, f"{stage}.prompts_per_step") == PROMPTS_PER_STEP
    assert read(found, f"{stage}.buffer.replay.frac") == 1 / PROMPTS_PER_STEP
    assert (read(found, f"{stage}.buffer.oversample"), read(found, f"{stage}.buffer.max_staleness_steps")) == (1.5, 4)
    kept = experiment(shrunk(tmp_path, {**buffer, "rollout.buffer.replay.frac": "0.5"}))
    assert read(kept, f"{stage}.buffer.replay.frac") == 0.5


def test_a_judge_that_the_plan_placed_is_asked_where_somebody_may_serve_it(tmp_path: Path) -> None:
    judged = {
        "placement.judge": '{ weights = "judge", weights_gib = 8.0, gpus = 4 }',
        "reward.name": '"judge"',
        "reward.judge": '{ url = "http://{judge}/v1/chat/completions", model = "a-judge" }',
        "train.global_batch": "256",
    }
    found = shrunk(tmp_path, judged, base=GPU)
    assert read(experiment(found), "stages.0.reward.judge.url") == JUDGE_URL
