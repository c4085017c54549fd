"""The JSON Schema, held against an independent validator: it takes what rlc takes, and marks what an editor can see."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import tomli

from compiler.compile import compile_spec
from compiler.emit.json_schema import DIALECT, json_schema
from rlc.catalogue import scan

PROJECT = Path(__file__).parents[3]
SHIPPED = sorted(
    path
    for folder in ("experiments", "stdlib/recipes", "stdlib/models")
    for path in (PROJECT / folder).rglob("*.toml")
    if path.name != "rlc.toml"
)
QUICKSTART = PROJECT / "experiments" / "quickstart.toml"
SCHEMA = json_schema(scan())
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def set_at(spec: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(spec)
    *tables, key = path.split(".")
    at: Any = changed
    for table in tables:
        at = at[int(table)] if table.isdigit() else at.setdefault(table, {})
    at[key] = value
    return changed


def faults(spec: object) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(spec)]


def test_the_schema_is_valid_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == DIALECT == jsonschema.Draft202012Validator.META_SCHEMA["$id"]
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_reference_leads_somewhere_and_every_definition_is_used() -> None:
    text = str(SCHEMA)
    definitions = SCHEMA["$defs"]
    assert isinstance(definitions, dict)
    used = {name for name in definitions if f"'#/$defs/{name}'" in text}
    assert used == set(definitions)
    assert text.count("'$ref'") == sum(text.count(f"'#/$defs/{name}'") for name in definitions)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(PROJECT).as_posix())
def test_a_shipped_file_validates(path: Path) -> None:
    assert faults(tomli.loads(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optim.lrr", 1e-3),
        ("optimm.lr", 1e-3),
        ("stages.0.optim.lrr", 1e-3),
        ("stages.0.model", {"name": "//models:tiny_qwen3"}),
        ("stages.0.run.seed", 1),
        ("seeds.data", 1),
        ("reward.level", "sample"),
    ],
)
def test_a_key_that_does_not_exist_there_is_marked(path: str, value: object) -> None:
    quickstart = tomli.loads(QUICKSTART.read_text(encoding="utf-8"))
    assert len(faults(set_at(quickstart, path, value))) == 1


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optim.lr", "1e-3"),
        ("optim.lr", True),
        ("cluster.cpu_threads", 2.5),
        ("cluster.cpu_threads", "two"),
        ("log.tensorboard", "yes"),
        ("optim", [{"lr": 1e-3}]),
        ("data.train", {"path": "a.jsonl"}),
        ("data.train", []),
        ("rollout.stop_token_ids", [1, "2"]),
        ("optim.schedule", "cosin"),
        ("algo.name", "grppo"),
        ("cluster.target", "gpu"),
        ("stages.0.until", "heldout is good"),
        ("use", "//recipes:grpo"),
        ("use", ["grpo"]),
    ],
)
def test_a_value_of_the_wrong_type_is_marked(path: str, value: object) -> None:
    quickstart = tomli.loads(QUICKSTART.read_text(encoding="utf-8"))
    assert faults(set_at(quickstart, path, value)) != []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("optim.lr", 0),
        ("optim.lr", 10.5),
        ("optim.beta1", 1),
        ("cluster.cpu_threads", 0),
        ("cluster.cpu_threads", 1025),
        ("rollout.max_context_tokens", 1),
        ("rollout.sampling.top_p", 0.0),
        ("rlc", 2),
    ],
)
def test_a_number_out_of_bounds_is_marked(path: str, value: object) -> None:
    quickstart = tomli.loads(QUICKSTART.read_text(encoding="utf-8"))
    assert faults(set_at(quickstart, path, value)) != []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("rollout.max_response_tokens", "8Ki"),
        ("rollout.max_response_tokens", "8_000"),
        ("rollout.max_prompt_tokens", "auto"),
        ("reward.timeout_s", 5),
        ("reward.timeout_s", "1m30s"),
        ("reward.timeout_s", "250ms"),
        ("rollout.sampling.top_k", "off"),
        ("train.packing.tokens", "off"),
        ("optim.clip_grad_norm", "off"),
        ("stages.0.until", "eval.probe.accuracy>=1e-1"),
        ("reward.name", "rewards.py:judge"),
        ("optim.warmup_steps", "off"),
        ("optim.warmup_steps", "${run.max_steps // 10}"),
        ("optim.lr", "${1 / 1000}"),
        ("data.shuffle", "${run.max_steps > 3}"),
        ("require", [{"that": "rollout.samples_per_prompt % 2 == 0", "why": "pairs need an even group"}]),
    ],
)
def test_quantities_and_words_are_accepted_as_the_compiler_accepts_them(path: str, value: object) -> None:
    quickstart = tomli.loads(QUICKSTART.read_text(encoding="utf-8"))
    assert faults(set_at(quickstart, path, value)) == []


@pytest.mark.parametrize("value", ["8k", "8 Ki", "Ki", "-1", "8KiB", "10s"])
def test_a_text_that_is_no_count_is_marked_by_the_schema_and_by_the_compiler(value: str) -> None:
    quickstart = tomli.loads(QUICKSTART.read_text(encoding="utf-8"))
    assert faults(set_at(quickstart, "rollout.max_response_tokens", value)) != []
    compiled = compile_spec(QUICKSTART, scan(), overrides=[f'rollout.max_response_tokens="{value}"'])
    assert compiled.plan is None


@pytest.mark.parametrize("value", ["30", "30s", "1h30m", "0.5s", "1d", "soon", "5 s", "s"])
def test_the_schema_and_the_compiler_agree_about_times(value: str) -> None:
    quickstart = tomli.loads(QUICKSTART.read_text(encoding="utf-8"))
    compiled = compile_spec(QUICKSTART, scan(), overrides=[f'reward.timeout_s="{value}"'])
    assert (faults(set_at(quickstart, "reward.timeout_s", value)) == []) == (compiled.plan is not None)


def test_a_hover_text_says_unit_reader_and_whether_it_is_required() -> None:
    definitions: Any = SCHEMA["$defs"]
    assert definitions["optim"]["properties"]["lr"]["description"] == "Peak learning rate.  Required."
    assert definitions["rollout"]["properties"]["prompts_per_step"]["description"] == (
        "Prompts drawn for one rollout.  In prompts.  Read by stages that sample.  Derived unless set."
    )


def test_a_default_is_offered() -> None:
    definitions: Any = SCHEMA["$defs"]
    assert definitions["optim"]["properties"]["beta1"]["default"] == 0.9
    assert definitions["rollout.sampling"]["properties"]["top_k"]["default"] == "off"
    assert "default" not in definitions["optim"]["properties"]["lr"]
