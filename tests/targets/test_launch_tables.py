"""Tables by which plans are lowered to engines: every name in them is the engine's, and every field has an owner."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from compiler.ir.experiment import Stage
from compiler.ir.machine import GPU_TARGETS, JUDGE_SHARE, Cluster, GpuPlacement, Parallel
from compiler.ir.model import Model
from compiler.ir.record import Record
from compiler.ir.training import Optim, PolicyTrain
from compiler.planner.memory.experiment_facts import _DEFAULT_SHARE, _PROMPT_TOKENS
from rlc.catalogue import load_engine, load_engine_tables, load_target
from targets.gpu.launches import STEPS, EngineTables

FOLDER = Path(__file__).parents[2] / "targets" / "launch"
VERSIONS = {name: version for target in GPU_TARGETS for name, version in load_target(target).versions}
ROUTERS = {target.router: target.router_version for target in map(load_target, GPU_TARGETS)}
VERSIONS |= ROUTERS
ENGINES = sorted(VERSIONS)
KINDS = {"bool": bool, "int": int, "float": float, "str": str}


def tables(engine: str) -> EngineTables:
    found = load_engine_tables(engine, VERSIONS.get(engine, ""))
    assert found is not None
    return found


def settings(engine: str) -> Iterator[tuple[str, str, list[Mapping[str, Any]]]]:
    """Every setting: the record that holds it, or nothing, its name, and its alternatives."""
    table = tables(engine).launch
    for record, rules in {"": table.get("options", {}), **table.get("records", {})}.items():
        for name, rule in rules.items():
            yield record, name, rule if isinstance(rule, list) else [rule]


def fields_of(rule: Mapping[str, Any]) -> list[str]:
    source = rule.get("from", [])
    return [*([source] if isinstance(source, str) else source), *rule.get("when", {})]


def call_kinds(engine: str) -> dict[str, dict[str, str]]:
    text = (FOLDER.parent / "engines" / f"{engine}-{VERSIONS[engine]}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text).get("calls", {})


def test_every_engine_of_a_target_has_a_table() -> None:
    named = {name for target in GPU_TARGETS for name in load_target(target).train_engines}
    named |= {name for target in GPU_TARGETS for name in load_target(target).rollout_engines}
    assert named | ROUTERS.keys() == {path.stem for path in FOLDER.glob("*.toml")}


@pytest.mark.parametrize("engine", ENGINES)
def test_every_name_is_one_of_the_pinned_engine(engine: str) -> None:
    options, known = load_engine(f"{engine}-{VERSIONS[engine]}").options.fields(), tables(engine)
    calls = call_kinds(engine)
    for record, name, _ in settings(engine):
        base = known.extends.get(record, record)
        held = {*known.records.get(record, ()), *known.records.get(base, ()), *calls.get(record, {})}
        assert name in (held if record else options), f"{record}.{name}"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_constant_is_of_the_type_that_the_engine_takes(engine: str) -> None:
    options, calls = load_engine(f"{engine}-{VERSIONS[engine]}").options.fields(), call_kinds(engine)
    for record, name, rules in settings(engine):
        for value in [rule["to"] for rule in rules if "to" in rule]:
            if record in calls:
                assert type(value) is KINDS[calls[record][name].partition("[")[0].replace("Literal", "str")]
            elif name in options and "{" not in str(value):
                atoms = options[name].kind.values
                choices = [choice for atom in atoms for choice in atom.choices]
                assert value in choices or any(KINDS.get(atom.name) is type(value) for atom in atoms), name


@pytest.mark.parametrize("engine", ENGINES)
def test_what_the_plan_decides_cannot_be_written_for_the_engine_and_what_yields_can(engine: str) -> None:
    schema = load_engine(f"{engine}-{VERSIONS[engine]}")
    names, yielding, decided = schema.options.fields(), set(), set()
    for _, name, rules in settings(engine):
        assert len({rule.get("yields", False) for rule in rules}) == 1, name
        (yielding if rules[0].get("yields") else decided).add(name)
    assert yielding & schema.decided.keys() == set()
    left_alone = tables(engine).launch["left_alone"]
    assert (decided & names.keys()) | left_alone.keys() == schema.decided.keys()
    assert decided & left_alone.keys() == set()


@pytest.mark.parametrize("engine", ["fsdp2", *ENGINES])
def test_a_setting_is_made_by_the_fixed_steps_of_fields_that_a_plan_has(engine: str) -> None:
    known = {*_paths(Stage[Any], ""), "launch.engine_nodes", "launch.engine_gpus", "launch.role"}
    for part, record in (("model", Model), ("cluster", Cluster), ("placement", GpuPlacement), ("parallel", Parallel)):
        known |= _paths(record, f"{part}.")
    for _, name, rules in settings(engine):
        for rule in rules:
            assert rule.get("as", "value") in STEPS, name
            assert rule.keys() <= {"from", "to", "as", "when", "yields", "names"}, name
            assert ("from" in rule) != ("to" in rule), name
            for path in fields_of(rule):
                assert path in known or path.startswith("train.engine."), path


@pytest.mark.parametrize("engine", ["fsdp2", "megatron"])
def test_every_field_of_model_parallelism_and_training_is_mapped_or_waived_with_a_reason(engine: str) -> None:
    fields = {
        "model",
        *_paths(Model, "model."),
        *_paths(Parallel, "parallel."),
        *_paths(PolicyTrain, "train."),
        *_paths(Optim, "optim."),
    }
    waived = tables(engine).launch["waived"]
    used = {path for _, _, rules in settings(engine) for rule in rules for path in fields_of(rule)}
    used |= {path for when in tables(engine).launch.get("applies", {}).values() for path in when}
    assert all(len(reason) > 5 for reason in waived.values())
    assert waived.keys() <= fields
    assert waived.keys() & {path for path in used if path.count(".") > 1} == set()

    def has_owner(path: str) -> bool:
        parts = path.split(".")
        above = {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
        return bool(above & waived.keys()) or path in used or any(other.startswith(f"{path}.") for other in used)

    assert {path for path in fields if not has_owner(path)} == set()


def test_a_judge_is_told_by_names_of_its_engine_and_takes_the_share_that_the_page_says() -> None:
    options, judge = load_engine(f"sglang-{VERSIONS['sglang']}").options.fields(), tables("sglang").launch["judge"]
    assert judge["options"].keys() <= options.keys()
    assert judge["options"]["mem_fraction_static"] == {"to": JUDGE_SHARE}
    first = [tables(engine).launch["ports"]["first"] for engine in ("sglang_router", "megatron", "sglang")]
    assert [*first, judge["ports"]["first"]] == [*sorted(first), 17000]


def test_what_engines_are_told_of_memory_is_what_the_planner_counts() -> None:
    sglang, vllm = tables("sglang").launch["options"], tables("vllm").launch["options"]
    assert sglang["mem_fraction_static"]["to"] == vllm["gpu_memory_utilization"]["to"] == _DEFAULT_SHARE
    assert sglang["chunked_prefill_size"]["to"] == vllm["max_num_batched_tokens"]["to"] == _PROMPT_TOKENS


def _paths(record: type[Record], prefix: str) -> set[str]:
    found: set[str] = set()
    for name, field in record.fields().items():
        found.add(prefix + name)
        for inner in field.kind.records:
            found |= _paths(inner, f"{prefix}{name}.")
    return found
