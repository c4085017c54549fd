"""The plan document: canonical, read back as it was written, and identified by what decides results."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.canonical import dump
from compiler.ir.paths import leaves
from compiler.ir.plan import Plan, read_plan
from rlc.catalogue import scan
from tests.compiler.ir.changed_plans import QUICKSTART, changed_plans, quickstart
from tests.support.good_spec import GRPO

NOT_IN_THE_HASH = (
    "log.",
    "allow",
    "launch",
    "timeouts",
    "cluster.usd_per_gpu_hour",
    "run.engine_restarts",
    "run.trainer_restarts",
    "run.health_",
    "stages.0.reward.expected_",
    "stages.1.reward.expected_",
    "stages.0.data.expected_",
    "stages.1.rollout.expected_",
    "model.hf_id",
    "model.chat_template",
    "model.published_",
    "model.overrides",
    "model.tokenizer.name",
    "stages.0.checkpoint.asynchronous",
    "stages.0.checkpoint.keep_latest",
    "stages.0.checkpoint.keep_best",
    "stages.0.checkpoint.best_by",
    "stages.1.checkpoint.asynchronous",
    "stages.1.checkpoint.keep_latest",
    "stages.1.checkpoint.keep_best",
    "stages.1.checkpoint.best_by",
    "stages.0.budget.",
    "stages.1.budget.",
    "stages.1.debug.record",
    "stages.1.debug.verify_sync",
    "stages.1.debug.logprob_gap.mean_bound",
    "stages.1.debug.logprob_gap.steps",
    "stages.1.debug.logprob_gap.action",
)


def read_back(text: str) -> Plan:
    return read_plan(text, name="plan.json", params_of=scan().params_of)


def refusal(document: object) -> str:
    with pytest.raises(SpecError) as caught:
        read_back(document if isinstance(document, str) else json.dumps(document))
    (found,) = caught.value.diagnostics
    assert found.code == "RLC0020"
    return found.message.removeprefix("plan.json is not a plan that can be run: ")


def document() -> dict[str, Any]:
    return json.loads(quickstart().to_text())


def test_the_text_is_canonical_json_with_one_key_a_line() -> None:
    text = quickstart().to_text()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert dump({"b": [1, {"d": "off", "c": 0.5}], "a": {}}) == (
        '{\n  "a": {},\n  "b": [\n    1,\n    {\n      "c": 0.5,\n      "d": "off"\n    }\n  ]\n}\n'
    )


def test_the_hash_is_the_digest_of_the_document_without_what_decides_nothing() -> None:
    said = document()
    experiment = said["experiment"]
    experiment["log"] = {}
    del experiment["allow"]
    del experiment["launch"], experiment["timeouts"]
    del experiment["cluster"]["usd_per_gpu_hour"]
    outside = ("hf_id", "chat_template", "published_parameters", "published_active_parameters", "overrides")
    for name in outside:
        del experiment["model"][name]
    del experiment["model"]["tokenizer"]["name"]
    for name in ("engine_restarts", "trainer_restarts", "health_interval_s", "health_timeout_s"):
        del experiment["run"][name]
    for stage in experiment["stages"]:
        if isinstance(stage["reward"], dict):
            del stage["reward"]["expected_call_s"]
        del stage["budget"]
        stage["checkpoint"] = {"interval": stage["checkpoint"]["interval"]}
        for name in ("expected_response_tokens", "expected_p90_response_tokens"):
            stage["rollout"].pop(name, None)
        stage["data"].pop("expected_sample_tokens", None)
    debug = experiment["stages"][1]["debug"]
    for name in ("record", "verify_sync"):
        del debug[name]
    for name in ("mean_bound", "steps", "action"):
        del debug["logprob_gap"][name]
    hashed = json.dumps({"schema_version": 1, "experiment": experiment}, indent=2, sort_keys=True, ensure_ascii=False)
    assert said["hash"] == hashlib.sha256(f"{hashed}\n".encode()).hexdigest()


def test_every_field_changes_the_hash_but_those_that_decide_no_result() -> None:
    plan = quickstart()
    same = {path for path, other in changed_plans(plan) if other.hash == plan.hash}
    assert same == {path for path, _ in leaves(plan.experiment) if path.startswith(NOT_IN_THE_HASH)}
    assert {"log.tensorboard", "stages.1.budget.rollouts"} <= same


def test_a_better_forecast_is_not_another_plan() -> None:
    plan = quickstart()
    better = plan.replacing(forecast=plan.forecast.replacing(parameters=1, weight_bytes=2))
    assert better.hash == plan.hash
    assert read_back(better.to_text()).forecast.parameters == 1


OVERRIDES = st.fixed_dictionaries(
    {},
    optional={
        "run.seed": st.integers(0, 2**63 - 1),
        "stages.sft.optim.lr": st.floats(1e-12, 10, exclude_min=True),
        "stages.grpo.loss.kl.estimator": st.sampled_from(['"off"', '"k1"', '"k3"']),
        "stages.grpo.rollout.stop_token_ids": st.lists(st.integers(0, 51), max_size=3),
        "stages.grpo.eval": st.just('"off"'),
        "stages.sft.train.micro_batch": st.integers(1, 64),
        "stages.sft.train.packing.tokens": st.just('"auto"'),
        "rollout.sampling.top_p": st.just(1.0),
        "reward.timeout_s": st.sampled_from(['"90s"', "0.25", '"1h"']),
        "name": st.sampled_from(['"a b"', '"\u00fc"', '"\\u0007"', '"off"', '"auto"']),
    },
)


@settings(max_examples=25)
@given(OVERRIDES)
def test_a_plan_is_read_back_as_the_plan_that_was_written(overrides: dict[str, object]) -> None:
    plan = compile_spec(QUICKSTART, scan(), overrides=[f"{k}={v}" for k, v in overrides.items()]).plan
    assert plan is not None
    again = read_back(plan.to_text())
    assert again == plan
    assert again.to_text() == plan.to_text()


def test_an_edited_plan_is_refused() -> None:
    said = document()
    said["experiment"]["stages"][0]["optim"]["lr"] = 5e-3
    assert refusal(said).startswith(f"its hash is {quickstart().hash[:12]}, its content has ")


def test_no_value_of_another_type_is_read_anywhere() -> None:
    said = document()
    plan = said["experiment"]
    for path, holder, key in list(places(plan)):
        before = holder[key]
        holder[key] = ["of another type"]
        assert refusal({**said, "experiment": plan}), path
        holder[key] = before


def places(node: Any, path: str = "") -> Any:
    """Every place of a JSON document as (path, what holds it, key)."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield f"{path}.{key}", node, key
        if isinstance(node[key], (dict, list)):
            yield from places(node[key], f"{path}.{key}")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not JSON"),
        ("[" * 100_000, "it is not JSON"),
        ("[]", "it has no experiment in it"),
        ('{"experiment": "rlc", "schema_version": 1}', "it has no experiment in it"),
        ('{"experiment": {}, "schema_version": 1}', "it has no forecast in it"),
        ('{"experiment": {}, "forecast": {}, "schema_version": 2}', "its schema_version is 2, this is 1"),
        ('{"experiment": {}, "forecast": {}, "schema_version": 1}', "rlc is missing"),
    ],
)
def test_what_is_no_plan_says_why(text: str, why: str) -> None:
    assert refusal(text).startswith(why)


@pytest.mark.parametrize("lr", ["NaN", "Infinity", "1" + "0" * 400])
def test_a_number_that_is_not_finite_is_no_fault_of_ours(lr: str) -> None:
    text = quickstart().to_text()
    assert '"lr": 0.004' in text
    assert refusal(text.replace('"lr": 0.004', f'"lr": {lr}'))


def test_half_a_surrogate_pair_is_no_fault_of_ours() -> None:
    assert refusal(quickstart().to_text().replace('"name": "quickstart"', '"name": "\\ud800"'))


def test_a_number_outside_of_its_bounds_is_refused() -> None:
    said = document()
    said["experiment"]["cluster"]["nodes"] = 2**62
    assert refusal(said) == f"nodes cannot be {2**62}"


def test_a_missing_and_an_unknown_field_are_named() -> None:
    said = document()
    said["experiment"]["run"]["sede"] = said["experiment"]["run"].pop("seed")
    assert "run" in refusal(said)
    said = document()
    said["experiment"]["nmae"] = "x"
    assert refusal(said) == "unknown field nmae"


SPEC = """\
name = "one"
use = ["//recipes:sft"]
[model]
name = "//models:tiny_qwen3"
[cluster]
target = "cpu"
[run]
max_steps = 8_192
[train]
global_batch = 4
[optim]
lr = 0.001
clip_grad_norm = 1.0
[[data.train]]
path = "a.jsonl"
"""
REFORMATTED = """\
# the same
data.train = [ {path='a.jsonl'} ]   # one file
optim.clip_grad_norm = 1
optim.lr = 1e-3
train = { global_batch = 0x4 }
run.max_steps = 8192
cluster.target = "cpu"
model."name" = "//models:tiny_qwen3"
use = [
  "//recipes:sft",
]
name = "one"
"""


def test_reformatting_and_the_order_of_keys_do_not_change_the_plan(tmp_path: Path) -> None:
    spec = tmp_path / "spec.toml"
    texts = []
    for text in (SPEC, REFORMATTED, SPEC.replace("\n", "\r\n")):
        spec.write_text(text, encoding="utf-8", newline="")
        plan = compile_spec(spec, scan()).plan
        assert plan is not None
        texts.append(plan.to_text())
    assert len(set(texts)) == 1


@settings(max_examples=20)
@given(st.permutations([f"{path} = {value}" for path, value in GRPO.items()]), st.sampled_from(["", "  ", "# x\n"]))
def test_the_keys_of_a_spec_may_stand_in_any_order(lines: list[str], between: str) -> None:
    with TemporaryDirectory() as folder:
        spec = Path(folder) / "spec.toml"
        plans = []
        for order in (lines, sorted(lines)):
            spec.write_text("".join(f"{between}{line}\n" for line in order))
            plans.append(compile_spec(spec, scan()).plan)
    assert plans[0] is not None
    assert plans[0] == plans[1]


def test_a_table_of_another_version_is_told_by_its_names() -> None:
    said = document()
    del said["experiment"]["cluster"]["nodes"]
    said["experiment"]["cluster"]["racks"] = 2
    assert refusal(said) == "cluster.nodes is missing, cluster.racks is unknown"
