"""What is left out is chosen, and what is written stays: over random machines, models and constraints."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.options import Options
from compiler.ir.paths import read
from compiler.ir.training import Fsdp2
from compiler.passes.pipeline import PIPELINE
from compiler.planner.chosen import AFTERWARDS, BY, CHOOSABLE, SCHEDULE, left_out, undecided
from compiler.planner.search.choose import timed
from compiler.planner.search.judge import fits
from compiler.planner.search.problem import problem_of
from rlc.catalogue import scan
from tests.support.good_spec import GPU, Changes, compiled
from tests.support.left_out import EXPERTS_LEFT_OUT, LEFT_OUT, axes_of

MODELS = ("qwen3_4b", "qwen3_8b", "qwen2_5_32b", "llama3_1_70b", "qwen3_30b_a3b", "glm4_5_106b_a12b")
WRITTEN = st.fixed_dictionaries(
    {"model.name": st.sampled_from([f'"//models:{name}"' for name in MODELS])},
    optional={
        "cluster.nodes": st.sampled_from(["2", "4", "8"]),
        "cluster.gpus_per_node": st.sampled_from(['"8xH200-141-SXM"', '"4xGB200-192"', '"8xH20-96"']),
        "placement.mode": st.sampled_from(['"colocate"', '"split"']),
        "placement.train_gpus": st.sampled_from(["4", "8", "16"]),
        "placement.gpus_per_engine": st.sampled_from(["1", "2", "4", "8"]),
        "train.packing.tokens": st.sampled_from(['"16Ki"', '"32Ki"']),
        "train.micro_batch": st.sampled_from(["1", "2"]),
        "train.engine.name": st.sampled_from(['"megatron"', '"fsdp2"']),
        "schedule.mode": st.just('"async"'),
        "rollout.max_response_tokens": st.sampled_from(['"2Ki"', '"16Ki"']),
        "train.engine.megatron.recompute_granularity": st.just('"selective"'),
    },
)
SHARE = "rollout.engine.sglang.mem_fraction_static"
OF_MEMORY = {"RLC0402", "RLC0530", "RLC0532", "RLC0537"}
OF_LAYOUTS = {"RLC0506", "RLC0507", "RLC0508", "RLC0509", "RLC0512", "RLC0520", "RLC0521", "RLC0523", "RLC0308"}


@settings(max_examples=15, deadline=None)
@given(WRITTEN)
@example({"model.name": '"//models:glm4_5_106b_a12b"', "cluster.nodes": "4"})  # its 46 layers end unevenly
def test_what_is_written_stays_and_what_is_chosen_is_legal_and_fits(changes: dict[str, str]) -> None:
    with TemporaryDirectory() as folder:
        bounded: Changes = {"rollout.max_prompt_tokens": '"1Ki"', **changes}
        found = compiled(Path(folder), bounded, base=LEFT_OUT)
        assert found.subject is not None
        subject = found.subject
        for path, origin in subject.origins.items():
            if origin.by == BY:
                assert not subject.written(path), path
        kept = dict(subject.written_values)
        assert all(read(subject.experiment, path) == value for path, value in kept.items())
        errors = {d.code for d in found.diagnostics if d.severity == "error"}
        is_chosen = subject.origins["parallel.tp"].by == BY
        if is_chosen and "RLC0413" not in errors:
            assert not errors & (OF_MEMORY | OF_LAYOUTS)
            # The same values, written down, are what the rules about memory and layouts accept.
            values = {name: value for name, value in axes_of(found).items() if name in ("tp", "pp", "cp", "ep", "etp")}
            values.update(vpp=axes_of(found)["vpp"])
            sides = {name: axes_of(found)[name] for name in ("train_gpus", "rollout_gpus", "gpus_per_engine")}
            stage = subject.experiment.stages[0]
            again: Changes = {
                **bounded,
                **{f"parallel.{name}": str(value) for name, value in values.items()},
                **{f"placement.{name}": str(value) for name, value in sides.items()},
                "placement.mode": f'"{axes_of(found)["mode"]}"',
            }
            assert isinstance(subject.experiment.parallel, Parallel)
            if isinstance(subject.experiment.parallel.pp_last_layers, int):
                again["parallel.pp_last_layers"] = str(subject.experiment.parallel.pp_last_layers)
            if isinstance(stage.train.packing.tokens, int):
                again["train.packing.tokens"] = str(stage.train.packing.tokens)
            if isinstance(stage.train.engine.megatron, Options):
                for key, value in stage.train.engine.megatron.__dict__.items():
                    literal = f'"{value}"' if isinstance(value, str) else str(value)
                    more = [f'"{one}"' for one in value] if isinstance(value, tuple) else []
                    again[f"train.engine.megatron.{key}"] = f"[{', '.join(more)}]" if more else literal
            if isinstance(stage.train.engine.fsdp2, Fsdp2):
                own = stage.train.engine.fsdp2
                again["train.engine.fsdp2.activation_checkpointing"] = f'"{own.activation_checkpointing}"'
                again["train.engine.fsdp2.reshard_after_forward"] = str(own.reshard_after_forward).lower()
                again["train.engine.fsdp2.dp_replicate_size"] = str(own.dp_replicate_size)
            again[SHARE] = str(read(subject.experiment, f"stages.0.{SHARE}"))
            same = compiled(Path(folder), again, base=LEFT_OUT)
            assert {d.code for d in same.diagnostics if d.severity == "error"} <= errors


def test_a_written_table_is_searched_for_nothing(tmp_path: Path) -> None:
    found = compiled(tmp_path, {}, base=GPU)
    assert found.subject is not None
    assert not [path for path, origin in found.subject.origins.items() if origin.by == BY]


@pytest.mark.parametrize("axis", ["tp", "pp", "cp", "dp", "ep", "etp", "vpp", "sp"])
def test_any_axis_that_is_written_is_a_table_that_is_written(tmp_path: Path, axis: str) -> None:
    value = {"dp": "8", "sp": "false"}.get(axis, "1")
    found = compiled(tmp_path, {f"parallel.{axis}": value}, base=LEFT_OUT)
    assert found.subject is not None
    assert found.subject.origins["parallel.tp"].by != BY


def test_what_was_chosen_says_who_chose_it_and_from_what(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"cluster.nodes": "2"}, base=EXPERTS_LEFT_OUT)
    assert found.plan is not None
    assert found.subject is not None
    origin = found.subject.origins["parallel.ep"]
    assert (origin.kind, origin.by) == ("derived", BY)
    assert {"model.name", "cluster.gpus_per_node", "cluster.nodes"} <= set(origin.inputs)
    assert found.subject.origins["parallel.dp"].by == "GPU identity"


def test_what_something_else_was_derived_from_is_not_chosen(tmp_path: Path) -> None:
    changes: Changes = {"run.max_steps": '"${placement.gpus_per_engine}"'}
    found = compiled(tmp_path, changes, base=LEFT_OUT)
    assert found.subject is not None
    assert axes_of(found)["gpus_per_engine"] == 1
    assert found.subject.origins["parallel.tp"].by == BY


def test_what_later_passes_derive_from_a_choice_does_not_close_it(tmp_path: Path) -> None:
    names = [step.name for step in PIPELINE]
    assert tuple(names[names.index(BY) + 1 :]) == AFTERWARDS
    found = compiled(tmp_path, {}, base=LEFT_OUT)
    assert found.subject is not None
    assert undecided(found.subject.origins) == {*CHOOSABLE, SCHEDULE}


@pytest.mark.parametrize("mode", ["async", "one_step_off"])
def test_sampling_beside_training_gets_gpus_of_its_own(tmp_path: Path, mode: str) -> None:
    found = compiled(tmp_path, {"schedule.mode": f'"{mode}"', "run.max_steps": "100"}, base=LEFT_OUT)
    assert found.plan is not None
    assert axes_of(found)["mode"] == "split"


SMALL: Changes = {"model.name": '"//models:qwen3_8b"', "cluster.nodes": "2", "rollout.max_prompt_tokens": '"1Ki"'}
ASKED = {
    "parallel.pp": {"dp", "pp", "sp"},
    "parallel.cp": {"dp", "cp", "sp"},
    "parallel.vpp": {"dp", "vpp", "sp"},
    "placement.gpus_per_engine": {"dp", "sp", "gpus_per_engine", "engine_way", "share"},
    "placement.mode": {"dp", "sp", "mode", "train_gpus", "rollout_gpus", "share"},
    "train.packing.tokens": {"dp", "sp", "tokens", "recompute"},
}


@pytest.mark.parametrize("path", ASKED)
def test_in_a_written_table_what_says_auto_is_chosen_and_nothing_else(tmp_path: Path, path: str) -> None:
    found = compiled(tmp_path, {**SMALL, "parallel.tp": "2", path: '"auto"'}, base=LEFT_OUT)
    assert found.plan is not None
    assert found.subject is not None
    assert left_out(found.subject.experiment, found.subject.origins) == ASKED[path]
    assert axes_of(found)["tp"] == 2
    chosen = {field for field, origin in found.subject.origins.items() if origin.by == BY}
    asked = f"stages.0.{path}" if path.startswith("train.") else path
    assert asked in chosen
    names = {field.rpartition(".")[2] for field in chosen if "recompute" not in field}
    assert names <= {*ASKED[path], "pp_last_layers", "mem_fraction_static"}


@pytest.mark.parametrize(("path", "written"), [("parallel.pp", ["1", "2", "4", "8"]), ("parallel.cp", ["1", "2", "4"])])
def test_no_size_that_could_be_written_is_faster_than_what_auto_chooses(
    tmp_path: Path, path: str, written: list[str]
) -> None:
    def step_s(value: str) -> float:
        found = compiled(tmp_path, {**SMALL, "parallel.tp": "2", path: value}, base=LEFT_OUT)
        assert found.subject is not None
        own = problem_of(found.subject.experiment, found.subject.origins, scan(), frozenset())
        assert own is not None
        return timed(own, own.base).step_s if fits(own, own.base) else float("inf")

    assert step_s('"auto"') <= min(map(step_s, written)) * (1 + 1e-9)


def test_dp_that_says_auto_follows_as_it_does_where_it_is_left_out(tmp_path: Path) -> None:
    left = axes_of(compiled(tmp_path, SMALL, base=LEFT_OUT))
    assert axes_of(compiled(tmp_path, {**SMALL, "parallel.dp": '"auto"'}, base=LEFT_OUT)) == left


def test_sides_are_divided_where_sampling_goes_on_and_the_mode_says_auto(tmp_path: Path) -> None:
    changes: Changes = {**SMALL, "parallel.tp": "2", "placement.mode": '"auto"', "schedule.mode": '"one_step_off"'}
    found = compiled(tmp_path, {**changes, "run.max_steps": "100"}, base=LEFT_OUT)
    assert found.plan is not None
    assert axes_of(found)["mode"] == "split"


def test_a_machine_without_gpus_has_nothing_to_choose_of(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"placement.mode": '"auto"'})
    assert found.plan is not None
    assert found.plan.experiment.placement.mode == "colocate"


def test_how_experts_are_spread_reaches_the_command_line_of_the_engine(tmp_path: Path) -> None:
    changes: Changes = {"cluster.nodes": "2", "rollout.prompts_per_step": "256", "train.global_batch": "2048"}
    found = compiled(tmp_path, {**changes, "rollout.max_prompt_tokens": '"1Ki"'}, base=EXPERTS_LEFT_OUT)
    assert found.plan is not None
    assert found.subject is not None
    engine = "stages.0.rollout.engine.sglang"
    each = axes_of(found)["gpus_per_engine"]
    assert found.subject.origins[f"{engine}.dp_size"].by == BY
    placement = found.plan.experiment.placement
    assert isinstance(placement, GpuPlacement)
    (words,) = (launch.words for launch in placement.launches if launch.role == "rollout")
    assert {f"--dp-size={each}", f"--ep-size={each}", "--enable-dp-attention"} <= set(words)
    told = compiled(tmp_path, {**changes, "rollout.engine.sglang.ep_size": "1"}, base=EXPERTS_LEFT_OUT)
    assert told.subject is not None
    assert f"{engine}.dp_size" not in told.subject.origins
