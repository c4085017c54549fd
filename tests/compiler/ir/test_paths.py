"""Paths into records: what is read is what was put there, and every leaf has one path."""

from __future__ import annotations

import pytest

from compiler.ir.paths import fields_on_the_way, leaves, read, replaced
from compiler.ir.provenance import Origin, Provenance
from tests.compiler.ir.changed_plans import changed_plans, quickstart


def test_a_path_leads_through_records_lists_and_tables_that_an_algorithm_spreads() -> None:
    experiment = quickstart().experiment
    assert read(experiment, "name") == "quickstart"
    assert read(experiment, "stages.1.algo.name") == "grpo"
    assert read(experiment, "stages.1.loss.kl.estimator") == "k3"
    assert read(experiment, "stages.1.data.train.0.path") == "quickstart/train.jsonl"
    assert read(experiment, "stages.1") is experiment.stages[1]


@pytest.mark.parametrize(
    "path",
    ["nmae", "stages.2.name", "stages.x", "stages.0.rollout.prompts_per_step", "name.x", "", "stages.0.algorithm.x"],
)
def test_a_path_that_leads_nowhere_is_an_error(path: str) -> None:
    with pytest.raises(KeyError):
        read(quickstart().experiment, path)
    with pytest.raises((KeyError, ValueError, IndexError)):
        replaced(quickstart().experiment, path, 1)


def test_the_fields_on_the_way_are_those_of_each_step() -> None:
    experiment = quickstart().experiment
    for path, names in (
        ("stages.1.loss.kl.coef", ["stages", "loss", "kl", "coef"]),
        ("stages.0.data.train.0.path", ["stages", "data", "train", "path"]),
        ("name", ["name"]),
    ):
        assert [field.name for field in fields_on_the_way(experiment, path)] == names
    with pytest.raises(KeyError):
        list(fields_on_the_way(experiment, "stages.0.loss.kl.coef"))
    with pytest.raises(IndexError):
        list(fields_on_the_way(experiment, "stages.7.loss.kl.coef"))


def test_every_leaf_is_read_by_its_path_and_no_two_have_the_same() -> None:
    found = list(leaves(quickstart().experiment))
    assert len({path for path, _ in found}) == len(found) > 150
    assert all(read(quickstart().experiment, path) is value for path, value in found)


def test_replacing_changes_one_leaf_and_nothing_else() -> None:
    before = dict(leaves(quickstart().experiment))
    for path, plan in changed_plans(quickstart()):
        after = dict(leaves(plan.experiment))
        assert {p for p in before if before[p] != after[p]} == {path}


def test_a_list_of_plain_values_is_one_leaf() -> None:
    experiment = quickstart().experiment
    changed = replaced(experiment, "stages.1.rollout.stop_token_ids", (1, 2))
    assert dict(leaves(changed))["stages.1.rollout.stop_token_ids"] == (1, 2)


def test_what_is_derived_later_replaces_that_nobody_said_anything() -> None:
    origins = Provenance()
    origins.record("a", Origin("default"))
    origins.derived("a", by="some_pass", inputs=("b",))
    assert origins["a"] == Origin("derived", by="some_pass", inputs=("b",))
    assert (origins.get("b"), "b" in origins, list(origins.items())) == (None, False, [("a", origins["a"])])


def test_only_the_spec_and_the_command_line_count_as_written() -> None:
    kinds = ("default", "assumed", "recipe", "spec", "override", "derived", "inherited")
    assert [kind for kind in kinds if Origin(kind).is_written] == ["spec", "override"]
