"""Names that become folders and metrics, stages by name, and paths that stay below the root of an experiment."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import Compiled, compile_spec
from rlc.catalogue import scan
from tests.support.good_spec import Changes, compiled


def told(folder: Path, changes: Changes) -> list[tuple[str, str]]:
    return [(d.code, d.message) for d in compiled(folder, changes).diagnostics]


@pytest.mark.parametrize("name", ["../../other", "/other", "a/b", ".", "..", ""])
def test_an_experiment_cannot_be_called_by_a_path(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, {"name": f'"{name}"'}) == [("RLC0204", f'name = "{name}" is no usable name')]


def test_the_offered_name_is_usable(tmp_path: Path) -> None:
    (found,) = compiled(tmp_path, {"name": '"../a/b"'}).diagnostics
    ((path, literal),) = found.help[0].sets
    assert (path, literal) == ("name", '"a_b"')
    assert told(tmp_path, {path: literal}) == []


@pytest.mark.parametrize("name", ["qwen3-0.6b_dapo", "7b", "a b", ".hidden"])
def test_other_names_are_free(tmp_path: Path, name: str) -> None:
    assert told(tmp_path, {"name": f'"{name}"'}) == []


def test_stages_and_evaluations_are_called_like_experiments(tmp_path: Path) -> None:
    sets = '[{ name = "a/b", path = "h.jsonl" }]'
    assert [code for code, _ in told(tmp_path, {"eval.sets": sets})] == ["RLC0204"]
    assert [code for code, _ in told(tmp_path, {"stages": '[{ name = "a/b" }]'})] == ["RLC0204"]


def test_two_evaluations_of_one_name_would_overwrite_each_other(tmp_path: Path) -> None:
    sets = '[{ name = "held", path = "h.jsonl" }, { name = "held", path = "i.jsonl" }]'
    stages = '[{ name = "a" }, { name = "b" }]'
    assert told(tmp_path, {"eval.sets": sets, "stages": stages}) == [("RLC0211", "two evaluations are called held")]


def test_a_fault_that_stages_share_is_said_once(tmp_path: Path) -> None:
    changes: Changes = {"eval.sets": '[{ name = "", path = "h.jsonl" }]', "stages": '[{ name = "a" }, { name = "b" }]'}
    assert [code for code, _ in told(tmp_path, changes)] == ["RLC0204"]


def test_without_stages_there_is_one_called_main(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {}).plan
    assert plan is not None
    assert [stage.name for stage in plan.experiment.stages] == ["main"]


def test_stages_keep_their_order_and_names(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"stages": '[{ name = "z" }, { name = "a", optim.lr = 0.5 }]'}).plan
    assert plan is not None
    assert [(stage.name, stage.optim.lr) for stage in plan.experiment.stages] == [("z", 1e-6), ("a", 0.5)]


def test_two_stages_of_one_name_are_an_error(tmp_path: Path) -> None:
    stages = '[{ name = "a" }, { name = "b" }, { name = "a" }]'
    assert told(tmp_path, {"stages": stages}) == [("RLC0211", "two stages are called a")]


def spec_in(folder: Path, changes: Changes) -> Compiled:
    folder.mkdir(parents=True, exist_ok=True)
    return compiled(folder, changes)


def data_path(found: Compiled) -> str:
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan.experiment.stages[0].data.train[0].called


def data(path: str) -> Changes:
    return {"data.train": f'[{{ path = "{path}" }}]'}


def test_a_path_is_written_into_the_plan_relative_to_the_root(tmp_path: Path) -> None:
    assert data_path(spec_in(tmp_path / "a/b", data("./c//y.jsonl"))) == "c/y.jsonl"
    (tmp_path / "rlc.toml").touch()
    assert data_path(spec_in(tmp_path / "a/b", data("y.jsonl"))) == "a/b/y.jsonl"
    assert data_path(spec_in(tmp_path / "a/b", data("../y.jsonl"))) == "a/y.jsonl"
    assert data_path(spec_in(tmp_path / "a/b", data("../../y.jsonl"))) == "y.jsonl"
    assert data_path(spec_in(tmp_path / "a/b", data(str(tmp_path / "z/y.jsonl")))) == "z/y.jsonl"


@pytest.mark.parametrize("path", ["../y.jsonl", "a/../../y.jsonl", "/y.jsonl", "a/../.."])
def test_a_path_out_of_the_root_is_refused(tmp_path: Path, path: str) -> None:
    found = spec_in(tmp_path / "a", data(path)).diagnostics
    assert [(d.code, d.message) for d in found] == [("RLC0011", f"`{path}` leaves the root of the experiment")]


def test_the_nearest_marker_is_the_root(tmp_path: Path) -> None:
    (tmp_path / "rlc.toml").touch()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/rlc.toml").touch()
    found = spec_in(tmp_path / "a/b", data("../../y.jsonl"))
    assert [d.code for d in found.diagnostics] == ["RLC0011"]
    assert found.root == (tmp_path / "a").resolve()


def test_a_path_in_a_used_file_is_relative_to_that_file(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/base.toml").write_text('use = ["//recipes:grpo"]\ndata.train = [{ path = "y.jsonl" }]\n')
    found = spec_in(tmp_path, {"use": '["shared/base.toml"]', "data.train": None})
    assert data_path(found) == "shared/y.jsonl"


def test_a_path_of_an_override_is_relative_to_the_spec(tmp_path: Path) -> None:
    (tmp_path / "rlc.toml").touch()
    spec_in(tmp_path / "a", {})
    found = compile_spec(tmp_path / "a/spec.toml", scan(), overrides=['data.train=[{ path = "y.jsonl" }]'])
    assert data_path(found) == "a/y.jsonl"


def test_a_spec_behind_a_link_has_the_root_of_the_file(tmp_path: Path) -> None:
    spec_in(tmp_path / "real", {})
    (tmp_path / "link.toml").symlink_to(tmp_path / "real/spec.toml")
    assert compile_spec(tmp_path / "link.toml", scan()).root == (tmp_path / "real").resolve()
