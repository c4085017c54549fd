"""What a spec hands to an engine: by the engine's own names and types, and only to the engine that a stage has."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from compiler.ir.options import given
from compiler.ir.paths import read
from compiler.ir.plan import Plan, read_plan
from rlc.catalogue import scan

SPEC = """\
name = "small"
use = ["//recipes:grpo"]
model = { name = "//models:qwen3_4b", weights = "checkpoint" }
cluster = { target = "cuda", gpus_per_node = "8xH100-80-SXM" }
rollout.prompts_per_step = 32
rollout.samples_per_prompt = 8
rollout.max_response_tokens = "2Ki"
train.global_batch = 256
run.max_steps = 10
reward.name = "math"
data.train = [{ path = "train.jsonl" }]
"""
SGLANG = "stages.0.rollout.engine.sglang"

# What the planner chooses where no layout is written.
SHARE = {"mem_fraction_static": 0.88}


def compiled(tmp_path: Path, text: str, *overrides: str) -> Compiled:
    spec = tmp_path / "exp.toml"
    spec.write_text(SPEC + text, encoding="utf-8")
    return compile_spec(spec, scan(), overrides=overrides)


def plan(tmp_path: Path, text: str, *overrides: str) -> Plan:
    found = compiled(tmp_path, text, *overrides)
    assert found.plan is not None, found.diagnostics
    return found.plan


def test_a_plan_holds_what_is_handed_on_and_nothing_else(tmp_path: Path) -> None:
    found = plan(tmp_path, "rollout.engine.sglang = { page_size = 16, schedule_conservativeness = 1 }")
    assert read(found.experiment, SGLANG) == given({**SHARE, "page_size": 16, "schedule_conservativeness": 1.0})
    assert isinstance(read(found.experiment, f"{SGLANG}.schedule_conservativeness"), float)


def test_a_table_that_hands_nothing_on_is_none(tmp_path: Path) -> None:
    texts = ("", "rollout.engine.sglang = {}", 'rollout.engine.sglang.page_size = "off"')
    assert len({plan(tmp_path, text).hash for text in texts}) == 1


def test_a_saved_plan_is_read_back_as_it_was(tmp_path: Path) -> None:
    text = """
        rollout.engine.sglang = { cuda_graph_bs_decode = [1, 2], attention_backend = "fa3", disable_radix_cache = true }
        train.engine.megatron = { recompute_modules = [], moe_aux_loss_coeff = 1e-3 }
    """
    found = plan(tmp_path, text)
    assert read_plan(found.to_text(), name="plan.json", params_of=scan().params_of) == found


def test_what_is_handed_on_is_part_of_the_identity_of_a_plan(tmp_path: Path) -> None:
    hashes = {plan(tmp_path, f"rollout.engine.sglang.page_size = {size}").hash for size in (16, 32)}
    assert len(hashes) == 2


def test_a_plan_says_which_version_takes_it(tmp_path: Path) -> None:
    found = plan(tmp_path, "").experiment
    versions = dict(scan().load_target("cuda").versions)
    assert read(found, "stages.0.rollout.engine.version") == versions["sglang"]
    assert read(found, "stages.0.train.engine.version") == versions["megatron"]


def test_the_words_auto_and_off_may_be_choices_of_an_engine(tmp_path: Path) -> None:
    text = 'rollout.engine.sglang = { boundary_reduction = "auto", expert_balancedness_report_mode = "off" }'
    found = plan(tmp_path, text).experiment
    assert read(found, f"{SGLANG}.boundary_reduction") == "auto"
    assert read(found, f"{SGLANG}.expert_balancedness_report_mode") == "off"


def test_off_takes_back_what_another_file_hands_on(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("[rollout.engine.sglang]\npage_size = 16\nstream_interval = 2\n")
    text = SPEC.replace('"//recipes:grpo"', '"//recipes:grpo", "base.toml"')
    spec = tmp_path / "exp.toml"
    spec.write_text(f'{text}rollout.engine.sglang.page_size = "off"\n', encoding="utf-8")
    found = compile_spec(spec, scan()).plan
    assert found is not None
    assert read(found.experiment, SGLANG) == given({**SHARE, "stream_interval": 2})


def test_a_setting_may_refer_to_a_field_of_the_plan(tmp_path: Path) -> None:
    found = plan(tmp_path, 'rollout.engine.sglang.page_size = "${rollout.samples_per_prompt * 2}"')
    assert read(found.experiment, f"{SGLANG}.page_size") == 16


def test_a_setting_has_the_place_where_it_is_written(tmp_path: Path) -> None:
    subject = compiled(tmp_path, "", "rollout.engine.sglang.page_size=32").subject
    assert subject is not None
    origin = subject.origins[f"{SGLANG}.page_size"]
    assert origin.kind == "override"
    assert origin.span is not None
    assert origin.span.text == "32"


def test_settings_that_only_one_of_two_stages_takes_are_read(tmp_path: Path) -> None:
    text = """
        rollout.engine.sglang.page_size = 16
        stages = [{ name = "a", rollout.engine.name = "vllm" }, { name = "b", rollout.engine.name = "sglang" }]
    """
    found = plan(tmp_path, text).experiment
    assert repr(read(found, SGLANG)) == "off"
    assert read(found, "stages.1.rollout.engine.sglang") == given({**SHARE, "page_size": 16})


def test_settings_of_an_engine_that_no_stage_has_are_told_of(tmp_path: Path) -> None:
    found = compiled(tmp_path, "rollout.engine.vllm.block_size = 16").diagnostics
    assert [fault.code for fault in found] == ["RLC0202"]
    assert found[0].help[0].text == 'it is read where rollout.engine.name = "vllm"'


def test_without_a_target_nothing_is_said_of_its_gpus_and_engines(tmp_path: Path) -> None:
    spec = SPEC.replace('target = "cuda"', 'target = "cudda"')
    of_the_target = "rollout.engine.sglang.tp_size = 2\nparallel.tp = 2\nplacement.gpus_per_engine = 2\n"
    (tmp_path / "exp.toml").write_text(f"{spec}{of_the_target}rollout.enginee = 1\n")
    codes = [fault.code for fault in compile_spec(tmp_path / "exp.toml", scan()).diagnostics]
    assert codes == ["RLC0206", "RLC0201"]


def test_a_setting_beside_its_table_is_told_where_it_stands(tmp_path: Path) -> None:
    found = compiled(tmp_path, "rollout.engine.chunked_prefill_size = 4096").diagnostics
    assert [way.text for way in found[0].help] == ["`chunked_prefill_size` exists in [rollout.engine.sglang]"]


@pytest.mark.parametrize(
    ("line", "way"),
    [
        ("rollout.engine.sglang.tp_size = 4", "write placement.gpus_per_engine = 4 instead"),
        ("train.engine.megatron.expert_model_parallel_size = 2", "write parallel.ep = 2 instead"),
        ('rollout.engine.sglang.model_path = "x"', "leave it out, and see model.weights"),
    ],
)
def test_what_the_plan_decides_is_set_by_its_own_field(line: str, way: str, tmp_path: Path) -> None:
    found = compiled(tmp_path, line).diagnostics
    assert [(fault.code, fault.help[0].text) for fault in found] == [("RLC0519", way)]
