"""How GPUs are divided: between the sides, and among the axes; closed forms by hand, and over random layouts."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.compile import Compiled
from compiler.ir.experiment import Experiment
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import OFF, Auto
from tests.support.good_spec import GPU, GRPO, MOE, Changes, compiled

AXES = ("tp", "pp", "cp", "ep", "etp", "dp")


def layout(found: Compiled) -> tuple[Experiment[Auto], GpuPlacement[Auto], Parallel[Auto]]:
    assert found.subject is not None
    experiment = found.subject.experiment
    assert isinstance(experiment.placement, GpuPlacement)
    assert isinstance(experiment.parallel, Parallel)
    return experiment, experiment.placement, experiment.parallel


def sides(folder: Path, changes: Changes) -> tuple[object, object]:
    placement = layout(compiled(folder, changes, base=GPU))[1]
    return placement.train_gpus, placement.rollout_gpus


def axes(found: Compiled) -> dict[str, object]:
    parallel = layout(found)[2]
    return {name: getattr(parallel, name) for name in AXES}


def test_the_gpus_of_all_machines_are_counted_and_named(tmp_path: Path) -> None:
    experiment = layout(compiled(tmp_path, {"cluster.nodes": "3"}, base=GPU))[0]
    assert (experiment.cluster.gpu, experiment.cluster.num_gpus) == ("H100-80-SXM", 24)


def test_a_processor_has_none_and_spreads_nothing(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {}, base=GRPO).plan
    assert plan is not None
    assert (plan.experiment.cluster.gpu, plan.experiment.cluster.num_gpus) == (OFF, 0)
    assert plan.experiment.parallel is OFF


def test_sides_that_share_have_all_gpus_each(tmp_path: Path) -> None:
    assert sides(tmp_path, {}) == (8, 8)
    assert sides(tmp_path, {"cluster.nodes": "2"}) == (16, 16)


@pytest.mark.parametrize(
    ("given", "train", "rollout"),
    [({"placement.train_gpus": "6"}, 6, 2), ({"placement.rollout_gpus": "6"}, 2, 6)],
)
def test_a_side_of_a_split_has_what_the_other_leaves_over(
    tmp_path: Path, given: Changes, train: int, rollout: int
) -> None:
    assert sides(tmp_path, {"placement.mode": '"split"', **given}) == (train, rollout)


def test_data_parallelism_takes_what_is_left_over(tmp_path: Path) -> None:
    changes: Changes = {"cluster.nodes": "4", "parallel.tp": "4", "parallel.pp": "2"}
    assert axes(compiled(tmp_path, changes, base=GPU))["dp"] == 32 // (4 * 2)


def test_where_both_sides_have_gpus_of_their_own_only_those_that_train_are_spread_over(tmp_path: Path) -> None:
    changes: Changes = {"placement.mode": '"split"', "placement.rollout_gpus": "2", "parallel.cp": "3"}
    assert axes(compiled(tmp_path, changes, base=GPU))["dp"] == 2


@pytest.mark.parametrize("axis", ["tp", "pp", "cp"])
def test_one_other_axis_follows_from_the_copies(tmp_path: Path, axis: str) -> None:
    given: Changes = {f"parallel.{name}": "2" for name in ("tp", "pp", "cp") if name != axis}
    found = compiled(tmp_path, {"cluster.nodes": "4", **given, "parallel.dp": "2"}, base=GPU)
    assert axes(found)[axis] == 32 // (2 * 2 * 2)
    assert found.subject is not None
    origin = found.subject.origins[f"parallel.{axis}"]
    assert origin.kind == "derived"
    assert {"placement.train_gpus", "parallel.dp"} < set(origin.inputs)


def test_axes_that_a_written_table_leaves_out_are_assumed_to_be_one_and_say_so(tmp_path: Path) -> None:
    found = compiled(tmp_path, {}, base=GPU)
    assert axes(found) == {"tp": 1, "pp": 1, "cp": 1, "ep": 1, "etp": 1, "dp": 8}
    assert found.subject is not None
    kinds = {name: found.subject.origins[f"parallel.{name}"].kind for name in AXES}
    assert kinds == {**dict.fromkeys(AXES, "assumed"), "etp": "spec", "dp": "derived"}


@pytest.mark.parametrize(("tp", "splits"), [("1", False), ("2", True)])
def test_tensor_parallel_gpus_split_the_sequence_too(tmp_path: Path, tp: str, splits: bool) -> None:
    assert layout(compiled(tmp_path, {"parallel.tp": tp}, base=GPU))[2].sp is splits


def test_what_is_written_is_kept(tmp_path: Path) -> None:
    changes: Changes = {"parallel.tp": "2", "parallel.sp": "false", "parallel.dp": "4"}
    found = compiled(tmp_path, changes, base=GPU)
    assert layout(found)[2].sp is False
    assert axes(found) == {"tp": 2, "pp": 1, "cp": 1, "ep": 1, "etp": 1, "dp": 4}


def test_what_does_not_come_out_even_stays_open(tmp_path: Path) -> None:
    assert not isinstance(axes(compiled(tmp_path, {"parallel.cp": "3"}, base=GPU))["dp"], int)


SIZES = st.sampled_from(["1", "2", "3", "4", "6", "8", "16"])


@given(
    nodes=st.sampled_from(["1", "2", "3", "4"]),
    parallel=st.dictionaries(st.sampled_from(AXES), SIZES, max_size=4),
    engine=SIZES,
)
def test_a_layout_that_no_rule_refuses_fills_its_gpus_and_divides_the_model(
    nodes: str, parallel: dict[str, str], engine: str
) -> None:
    with TemporaryDirectory() as folder:
        changes: Changes = {
            "cluster.nodes": nodes,
            "rollout.prompts_per_step": "96",
            "train.global_batch": "768",
            "placement.gpus_per_engine": engine,
            **{f"parallel.{name}": size for name, size in parallel.items()},
        }
        plan = compiled(Path(folder), changes, base=MOE).plan
    if plan is None:
        return
    experiment = plan.experiment
    placement, spread, model = experiment.placement, experiment.parallel, experiment.model
    assert isinstance(placement, GpuPlacement)
    assert isinstance(spread, Parallel)
    assert model.moe is not OFF
    assert spread.dp * spread.tp * spread.pp * spread.cp == placement.train_gpus == int(nodes) * 8
    assert placement.train_gpus // spread.pp % (spread.ep * spread.etp) == 0
    assert model.num_heads % spread.tp == model.num_layers % spread.pp == 0
    assert 128 % spread.ep == 0
    assert 768 % spread.dp == 0
    assert {name: str(getattr(spread, name)) for name in parallel} == parallel


@settings(max_examples=25)
@given(parallel=st.dictionaries(st.sampled_from(AXES), SIZES, max_size=3), engine=SIZES)
def test_a_way_out_ends_what_it_is_a_way_out_of(parallel: dict[str, str], engine: str) -> None:
    changes: Changes = {"placement.gpus_per_engine": engine}
    changes |= {f"parallel.{name}": size for name, size in parallel.items()}
    with TemporaryDirectory() as folder:
        for found in compiled(Path(folder), changes, base=MOE).diagnostics:
            for way in found.help:
                if way.sets:
                    after = compiled(Path(folder), {**changes, **dict(way.sets)}, base=MOE).diagnostics
                    assert (found.code, found.message) not in {(d.code, d.message) for d in after}
