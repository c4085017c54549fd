"""`rlc run` before anything heavy is loaded: which plan, which root, which directory, and what is refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.plan import Plan
from rlc.catalogue import scan
from rlc.cli.main import main
from rlc.run_lock import run_lock
from rlc.running import Place, exit_code, prepare
from tests.support.tiny_experiment import write_experiment


def test_a_spec_runs_below_runs_under_its_name_unless_told_otherwise(tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    job = prepare(spec, overrides=(), place=Place()).job
    assert job is not None
    assert (job.root, job.run_dir, job.spec_text) == (tmp_path, Path("runs/tiny"), spec.read_text(encoding="utf-8"))
    job = prepare(spec, overrides=(), place=Place(run_dir=tmp_path / "here")).job
    assert job is not None
    assert job.run_dir == tmp_path / "here"


def test_a_saved_plan_is_the_plan_of_its_spec(tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    saved = _save_plan(spec, tmp_path / "saved.json")
    from_spec, from_plan = (prepare(path, overrides=(), place=Place()).job for path in (spec, saved))
    assert from_spec is not None
    assert from_plan is not None
    assert from_plan == from_spec._replace(spec_text="")


def test_the_plan_of_a_run_directory_has_the_root_that_the_run_was_started_with(tmp_path: Path) -> None:
    spec = write_experiment(tmp_path / "home")
    run_dir = tmp_path / "runs" / "one"
    run_dir.mkdir(parents=True)
    saved = _save_plan(spec, run_dir / "plan.json")
    (run_dir / "origin.json").write_text('{"root": "../../home"}', encoding="utf-8")
    job = prepare(saved, overrides=(), place=Place()).job
    assert job is not None
    assert (job.root, job.run_dir) == (tmp_path / "home", run_dir)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\0"], ids=["empty", "list", "no-root", "zero"])
def test_an_origin_that_names_no_root_is_refused_and_a_root_can_be_given(tmp_path: Path, text: str) -> None:
    saved = _save_plan(write_experiment(tmp_path / "home"), tmp_path / "plan.json")
    (tmp_path / "origin.json").write_text(text, encoding="utf-8")
    assert _codes(saved) == ["RLC0021"]
    assert prepare(saved, overrides=(), place=Place(root=tmp_path / "home")).job is not None


def test_a_plan_whose_files_are_elsewhere_asks_for_the_root(tmp_path: Path) -> None:
    saved = _save_plan(write_experiment(tmp_path / "home"), tmp_path / "saved.json")
    (found,) = prepare(saved, overrides=(), place=Place()).diagnostics
    assert found.code == "RLC0021"
    assert found.message.startswith(f"{saved} names sums.jsonl, which is not below ")


def test_a_plan_takes_no_overrides(tmp_path: Path) -> None:
    saved = _save_plan(write_experiment(tmp_path), tmp_path / "saved.json")
    found = prepare(saved, overrides=("run.seed=1",), place=Place()).diagnostics
    assert [d.code for d in found] == ["RLC0017"]


@pytest.mark.parametrize("pattern", ["(?s).*", "(?s).{9}$", "0[.]01", "(?m)^{"], ids=["all", "end", "number", "start"])
def test_a_plan_that_is_not_as_it_was_saved_is_refused(tmp_path: Path, pattern: str) -> None:
    saved = _save_plan(write_experiment(tmp_path), tmp_path / "saved.json")
    text = saved.read_text(encoding="utf-8")
    changed = re.sub(pattern, "7", text, count=1)
    assert changed != text
    saved.write_text(changed, encoding="utf-8")
    assert _codes(saved) == ["RLC0020"]


@pytest.mark.parametrize("name", ["offcpu", "", "../tests/support", "/tmp", "cpu/../cpu", "x" * 5_000, "\0"])
def test_a_plan_for_a_target_that_is_not_there_is_refused_and_no_file_is_looked_for(tmp_path: Path, name: str) -> None:
    """Not even one that is there under this name: a plan may come from anywhere."""
    plan = compile_spec(write_experiment(tmp_path), scan()).plan
    assert plan is not None
    cluster = plan.experiment.cluster.replacing(target=name)
    saved = tmp_path / "saved.json"
    saved.write_text(Plan(experiment=plan.experiment.replacing(cluster=cluster), forecast=plan.forecast).to_text())
    (found,) = prepare(saved, overrides=(), place=Place()).diagnostics
    assert found.code == "RLC0503"
    assert found.message == f"this rlc has no target {name[:60]!r}: it has cpu, cpu_cluster, cuda, rocm"


def test_a_root_belongs_to_a_plan_and_not_to_a_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(write_experiment(tmp_path)), "--root", str(tmp_path)]) == 2
    assert "only a saved plan is given a root" in " ".join(capsys.readouterr().err.split())


def test_a_run_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    found = prepare(spec, overrides=(), place=Place(run_dir=spec)).diagnostics
    assert [(d.code, d.message) for d in found] == [("RLC0018", f"{spec} is not a directory")]


def test_checkpoints_without_the_plan_that_they_are_of_are_refused(tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    (tmp_path / "run" / "checkpoints" / "step_000001").mkdir(parents=True)
    (found,) = prepare(spec, overrides=(), place=Place(run_dir=tmp_path / "run")).diagnostics
    assert (found.code, found.message.partition(":")[0]) == (
        "RLC0018",
        f"{tmp_path / 'run'} holds a run but no plan.json",
    )


def test_only_fields_that_may_change_are_changed_on_resume(tmp_path: Path) -> None:
    spec, run_dir = write_experiment(tmp_path), tmp_path / "run"
    run_dir.mkdir()
    _save_plan(spec, run_dir / "plan.json")
    (run_dir / "metrics.jsonl").write_text('{"stage": "sft", "step": 1, "global_step": 1}\n', encoding="utf-8")
    place = Place(run_dir=run_dir)
    assert prepare(spec, overrides=("stages.grpo.run.max_steps=9",), place=place).job is not None
    (found,) = prepare(spec, overrides=("stages.grpo.optim.lr=0.5",), place=place).diagnostics
    assert (found.code, found.paths) == ("RLC0312", ("stages.1.optim.lr",))


def test_a_run_that_never_began_may_be_started_as_another_experiment(tmp_path: Path) -> None:
    spec, run_dir = write_experiment(tmp_path), tmp_path / "run"
    run_dir.mkdir()
    _save_plan(spec, run_dir / "plan.json")
    (run_dir / "metrics.jsonl").touch()
    prepared = prepare(spec, overrides=("stages.grpo.optim.lr=0.5",), place=Place(run_dir=run_dir))
    assert prepared.job is not None


def test_a_locked_run_directory_is_refused_and_free_again_afterwards(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(SpecError, match=r"RLC0662: .* is in use: process"), run_lock(tmp_path):
        raise AssertionError("two processes in one run directory")
    with run_lock(tmp_path):
        assert (tmp_path / ".lock").exists()


def test_a_run_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    spec = write_experiment(tmp_path)
    with pytest.raises(SpecError, match=r"RLC0018: .* cannot be written: Not a directory"), run_lock(spec / "run"):
        raise AssertionError("a directory in a file")


def test_a_run_that_broke_is_told_from_an_experiment_that_is_wrong() -> None:
    assert exit_code(SpecError(Diagnostic("RLC0641", "the loss is not finite"))) == 4
    assert exit_code(SpecError(Diagnostic("RLC0602", "a key is missing"))) == 1


def _save_plan(spec: Path, path: Path) -> Path:
    plan = compile_spec(spec, scan()).plan
    assert plan is not None
    path.write_text(json.dumps(plan.to_json()), encoding="utf-8")
    return path


def _codes(path: Path) -> list[str]:
    return [d.code for d in prepare(path, overrides=(), place=Place()).diagnostics]
