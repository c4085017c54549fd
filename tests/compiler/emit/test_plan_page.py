"""The page of a plan: golden texts, and that no field of a plan can change without the page showing it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from compiler.diagnostics.printable import display_width
from compiler.emit.engine_lines import engine_lines
from compiler.emit.plan_page import plan_page
from compiler.ir.cluster_launch import default_launch
from compiler.ir.experiment import Experiment
from compiler.ir.openness import OFF, Off
from compiler.ir.paths import leaves, read, replaced
from compiler.ir.plan import Forecast, Plan
from compiler.ir.record import Field, Record
from compiler.ir.sourced_plan import SourcedPlan
from rlc.catalogue import load_hardware, scan
from tests.compiler.emit.plan_specs import ONE_STAGE, SPECS, plan_of, plan_of_text, quickstart

Golden = Callable[[str, str], None]

# Fields that the page does not show, and why.  Paths are without indices.
WAIVED = {
    "experiment.stages.train.packing.algorithm": "a number of samples is not packed",
    "experiment.stages.train.packing.balance": "a number of samples is not packed",
    "experiment.cluster.gpu": "a machine without GPUs has none",
    "experiment.cluster.num_gpus": "a machine without GPUs has none",
    "experiment.stages.data.shuffle_window": "nothing streams, so there is no window",
    "experiment.stages.data.prefetch": "all rows are ready at the start, and none ahead of its step",
    "experiment.stages.train.vocab_chunk": "a reward model has no logits",
    "experiment.stages.data.train.timeout_s": "no function gives rows",
    "experiment.stages.eval.sets.timeout_s": "no function gives rows",
    "experiment.stages.eval.pairs.timeout_s": "no function gives rows",
    "experiment.stages.eval.scored.timeout_s": "no function gives rows",
    "experiment.stages.rollout.filter.timeout_s": "a filter of the standard library waits for nothing",
    "experiment.stages.rollout.buffer.timeout_s": "a selector of the standard library waits for nothing",
    **dict.fromkeys(
        (f"experiment.launch.{path}" for path, _ in leaves(default_launch())), "what rlc emit writes shows it"
    ),
    "experiment.placement.launches.follower_words": "an engine on one machine has no follower",
    "experiment.placement.launches.records": "an engine that is a program of its own has none",
    "forecast.stages.max_sampled_tokens": "says again what budget.max_sampled_tokens of the stage says",
}


def page(found: SourcedPlan, *, ascii_only: bool = False, color: bool = False) -> str:
    return plan_page(found.plan, found.subject, load_hardware(), source=found.name, ascii_only=ascii_only, color=color)


def test_the_page_of_the_quickstart(golden: Golden) -> None:
    golden("plan_pages/quickstart.txt", page(quickstart()))


def test_the_page_of_the_quickstart_in_ascii(golden: Golden) -> None:
    text = page(quickstart(), ascii_only=True)
    assert text.isascii()
    golden("plan_pages/quickstart_ascii.txt", text)


def test_a_bar_shows_how_full_a_gpu_is_in_each_phase(tmp_path: Path) -> None:
    lines = page(plan_of(tmp_path, "on_gpus"), ascii_only=True).splitlines()
    bars = {line.split()[0]: line.split() for line in lines if " GiB of a " in line and "#" in line}
    assert {"rollout", "train", "checkpoint"} <= bars.keys()
    for name, words in bars.items():
        bar = next(word for word in words if word.startswith("#"))
        used, memory = (float(words[words.index(bar) + at].replace(",", "")) for at in (1, 3))
        assert bar == ("#" * round(20 * used / memory)).ljust(20, "."), name


@pytest.mark.parametrize("name", SPECS)
def test_the_page_of_a_spec(name: str, tmp_path: Path, golden: Golden) -> None:
    golden(f"plan_pages/{name}.txt", page(plan_of(tmp_path, name)))


def test_the_page_of_a_saved_plan_has_no_marks_and_no_legend(golden: Golden) -> None:
    saved = quickstart()._replace(subject=None, name="plan.json")
    text = page(saved)
    assert "no mark" not in text
    golden("plan_pages/saved.txt", text)


def test_colours_add_nothing_but_colours() -> None:
    plain, colored = page(quickstart()), page(quickstart(), color=True)
    assert colored != plain
    bare = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in bare.split("\n")] == plain.split("\n")


@pytest.mark.parametrize("name", SPECS)
def test_every_field_of_a_plan_is_on_its_page_or_waived(name: str, tmp_path: Path) -> None:
    found = plan_of(tmp_path, name)
    before = _without_hash(found)
    hidden = {path for path, plan in _variants(found.plan) if _without_hash(found._replace(plan=plan)) == before}
    assert {_without_indices(path) for path in hidden} <= WAIVED.keys()


def _without_hash(found: SourcedPlan) -> str:
    """The page, and what `rlc plan --engines` has of the launches that it only names."""
    return (page(found) + engine_lines(found.plan)).replace(found.plan.hash[:12], "")


def test_the_specs_of_these_tests_hold_every_field_of_the_schema(tmp_path: Path) -> None:
    plans = [plan_of(tmp_path / name, name).plan for name in SPECS]
    there = {_without_indices(path) for plan in plans for path, _ in _variants(plan)}
    # The reward of a held-out set is the record of [reward], and the same lines show it.
    declared = {path for path in _schema_paths(Plan, "") if ".eval.sets.reward." not in path}
    # So is a teacher the record of [model], and a spec of its own holds one with few of its tables.
    declared = {path for path in declared if ".stages.teacher." not in path}
    assert declared - there == set()
    assert WAIVED.keys() <= there


def _variants(plan: Plan) -> Iterator[tuple[str, Plan]]:
    """Yield, for every leaf that something reads, its path and the plan with another value there.

    A table that is off is left to the specs that have it.
    """
    for path, value in leaves(plan):
        field, holder = _field_at(plan, path)
        if isinstance(value, Off) and field.kind.records:
            continue
        if _is_read(field, holder):
            yield path, replaced(plan, path, _other(field, value))


def _is_read(field: Field, holder: Record) -> bool:
    if field.read_if is None:
        return True
    sibling = type(holder).fields()[field.read_if[0]]
    return holder.__dict__[sibling.name] in field.read_if[1] and _is_read(sibling, holder)


def _other(field: Field, value: object) -> object:
    """Another value of the same field."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value * 2 + 1
    if isinstance(value, Off):
        kinds = {atom.name for atom in field.kind.values}
        choices = [choice for atom in field.kind.values for choice in atom.choices]
        return 3 if kinds & {"int", "Tokens"} else 0.5 if "float" in kinds else choices[0] if choices else "other"
    if isinstance(value, tuple):
        items = {atom.item.name for atom in field.kind.values if atom.item}
        return (*value, "seven" if "str" in items else 7)
    choices = [choice for atom in field.kind.values for choice in atom.choices if choice != value]
    if not choices and field.kind.may_be_off:
        return OFF
    return choices[0] if choices else f"x{value}x"


def _field_at(plan: Plan, path: str) -> tuple[Field, Record]:
    table, _, name = path.rpartition(".")
    holder = read(plan, table) if table else plan
    assert isinstance(holder, Record)
    if name in type(holder).fields():
        return type(holder).fields()[name], holder
    spread = next(v for n, f in type(holder).fields().items() if f.spread for v in [holder.__dict__[n]])
    return type(spread).fields()[name], spread


def _schema_paths(record: type[Record], prefix: str) -> Iterator[str]:
    """The paths of all fields that some plan may have, read from the declarations alone."""
    for name, field in record.fields().items():
        path = f"{prefix}.{name}".lstrip(".")
        if field.spread:
            for algorithm in scan().algorithms:
                yield from _schema_paths(scan().params_of(algorithm), prefix)
            continue
        records = [*field.kind.records, *(a.item.record for a in field.kind.values if a.item and a.item.record)]
        for inner in records:
            yield from _schema_paths(inner, path)
        if not records:
            yield path


def _without_indices(path: str) -> str:
    return ".".join(part for part in path.split(".") if not part.isdigit())


def test_the_batch_is_written_out(tmp_path: Path) -> None:
    text = page(plan_of(tmp_path, "two_stages"))
    assert "128 prompts x 8 samples = 1,024 samples = 256 x 4* optimizer steps" in text
    assert "256 samples x 1,000 optimizer steps = 256,000 samples" in text


def test_marks_say_who_wrote_a_value(tmp_path: Path) -> None:
    text = page(plan_of(tmp_path, "one_stage", ["optim.lr=1e-4"]))
    assert "0.0001!, constant'" in text
    assert "beta2 0.95~" in text
    assert "32 x 2* optimizer steps" in text
    legend = text.rstrip("\n").rpartition("\n")[2]
    assert legend == "no mark: the spec says so   ~ recipe or model file   ' default   * derived   ! --set"


def test_an_assumed_value_is_marked_as_such(tmp_path: Path) -> None:
    text = page(plan_of_text(tmp_path, ONE_STAGE.replace("global_batch = 32\n", "")))
    assert "16 prompts x 4 samples = 64 samples = 64* x 1? optimizer step" in text
    assert "? assumed" in text


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("ascii_only", [True, False])
def test_no_line_is_wider_than_the_page(name: str, ascii_only: bool, tmp_path: Path) -> None:
    text = page(plan_of(tmp_path, name), ascii_only=ascii_only)
    assert max(sum(map(display_width, line)) for line in text.split("\n")) <= 100


def test_long_and_wide_texts_do_not_widen_the_page_or_break_a_box() -> None:
    text = page(with_texts(quickstart(), name="\u8a08\u753b" * 60))
    assert max(sum(map(display_width, line)) for line in text.split("\n")) <= 100
    boxes = [sum(map(display_width, line)) for line in text.split("\n") if line.startswith("  \u2502")]
    assert len(boxes) == 5
    assert len(set(boxes)) == 1


def test_nothing_that_a_plan_says_reaches_the_terminal_as_a_command() -> None:
    text = page(with_texts(quickstart(), name="a\u001b[2Jb\u202ec\u0003"))
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
    assert text.startswith("a\ufffd[2Jb\ufffdc\ufffd ")


def with_texts(found: SourcedPlan, *, name: str) -> SourcedPlan:
    """Put a text wherever a saved plan may hold one, whatever the rules for specs say."""
    plan = replaced(found.plan, "experiment.name", name)
    for path, value in leaves(plan):
        if path.endswith((".engine", ".name", ".path", "_key", ".device", ".metric")) and isinstance(value, str):
            plan = replaced(plan, path, name)
    return found._replace(plan=plan, name=name)


def test_each_actor_stands_in_the_box_of_its_node_and_device() -> None:
    found = quickstart()
    roles = found.plan.experiment.placement.roles
    elsewhere = [
        role.replacing(node=1, device="cpu:3", process=2) if role.role == "trainer" else role for role in roles
    ]
    moved = replaced(found.plan, "experiment.placement.roles", tuple(elsewhere))
    lines = page(found._replace(plan=moved), ascii_only=True).split("\n")
    at = {name: next(i for i, line in enumerate(lines) if name in line) for name in ("node 0", "node 1", "cpu:3")}
    trainer = next(i for i, line in enumerate(lines) if "| process 2  trainer " in line)
    sampler = next(i for i, line in enumerate(lines) if "| process 0  rollout " in line)
    assert at["node 0"] < sampler < at["node 1"] < at["cpu:3"] < trainer


def test_a_forecast_adds_up() -> None:
    found = quickstart()
    sizes = dict.fromkeys(("weight", "gradient", "optimizer", "engine_weight", "reference"), 2**30)
    forecast = found.plan.forecast.replacing(
        **{f"{name}_bytes": size for name, size in sizes.items()},
        stages=tuple(stage.replacing(kv_cache_bytes=2**29) for stage in found.plan.forecast.stages),
    )
    plan = Plan(experiment=found.plan.experiment, forecast=forecast)
    assert isinstance(forecast, Forecast)
    assert "5.5 GiB at most" in page(found._replace(plan=plan))


def test_a_stage_without_evaluation_says_so(tmp_path: Path) -> None:
    found = plan_of(tmp_path, "supervised")
    experiment = found.plan.experiment
    assert isinstance(experiment, Experiment)
    assert experiment.stages[0].eval is OFF
    assert "  evaluation     none'\n" in page(found)
