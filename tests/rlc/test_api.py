"""`import rlc`: compile and run from Python."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

import rlc
from compiler.compile import compile_spec
from rlc.catalogue import scan
from rlc.cli.main import main
from tests.compiler.emit.plan_specs import ONE_STAGE
from tests.support import tiny_experiment


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(ONE_STAGE)
    return Path("spec.toml")


def test_importing_loads_neither_compiler_nor_torch() -> None:
    code = (
        "import sys, rlc; assert dir(rlc).count('compile') == 1\n"
        "assert not {'compiler', 'torch', 'typer', 'rlc.api'} & set(sys.modules)\n"
        "rlc.compile; assert 'compiler' in sys.modules and 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_spec_compiles_into_the_plan_of_the_command_line(spec: Path) -> None:
    assert rlc.compile(spec) == compile_spec(spec, scan()).plan
    assert rlc.compile(str(spec)).hash == rlc.compile(spec, target="cpu").hash


def test_values_are_set_as_set_does(spec: Path) -> None:
    plan = rlc.compile(spec, set={"optim.lr": 0.5})
    assert plan.experiment.stages[0].optim.lr == 0.5
    plan = rlc.compile(spec, set={"rollout.max_response_tokens": "0.25Ki", "name": "other"})
    assert plan == compile_spec(spec, scan(), overrides=["rollout.max_response_tokens=256", "name=other"]).plan


def test_what_is_wrong_is_raised_as_the_command_line_prints_it(spec: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec.write_text(ONE_STAGE.replace("global_batch = 32", "global_batch = 33"))
    with pytest.raises(rlc.RlcError) as raised:
        rlc.compile(spec)
    assert main(["--ascii", "plan", "spec.toml"]) == 1
    assert [d.code for d in raised.value.diagnostics] == ["RLC0301"]
    assert raised.value.exit_code == 1
    printed = capsys.readouterr().err
    drawn = str(raised.value)
    for drawing, plain in (("\u250c\u2500", "-->"), ("\u2502", "|"), ("\u22ee", ":")):
        drawn = drawn.replace(drawing, plain)
    assert drawn.split() == printed.split()


def test_a_policy_is_held_against_the_plan(spec: Path) -> None:
    Path("lab.star").write_text('require("optim.lr <= 1e-9", "small steps")\n')
    for policy in ("lab.star", [Path("lab.star")]):
        with pytest.raises(rlc.RlcError, match="small steps"):
            rlc.compile(spec, policy=policy)


def test_a_warning_is_one_of_python(spec: Path) -> None:
    spec.write_text(ONE_STAGE.replace("[rollout]", "[loss.kl]\nestimator = 'k1'\ncoef = 0.1\n[rollout]"))
    with pytest.warns(UserWarning, match="RLC0309"):
        rlc.compile(spec)


def test_a_plan_is_executed_as_it_is(spec: Path) -> None:
    plan = rlc.compile(spec)
    with pytest.raises(TypeError, match="for compile"):
        rlc.run(plan, set={"optim.lr": 1})
    with pytest.raises(TypeError, match="root is of a plan"):
        rlc.run(spec, root=".")


def test_a_name_that_is_not_there_is_none() -> None:
    assert hasattr(rlc, "compile")
    assert not hasattr(rlc, "compile_")


def test_an_experiment_runs_to_its_end_also_outside_of_the_main_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_experiment.write_experiment(tmp_path)
    found: list[rlc.Finished] = []
    thread = threading.Thread(target=lambda: found.append(rlc.run("spec.toml", run_dir="here")))
    thread.start()
    thread.join()
    (done,) = found
    assert (done.run_dir, done.was_interrupted) == (Path("here"), False)
    assert Path("here/plan.json").read_text() == done.plan.to_text()
    again = rlc.run(done.plan, run_dir="here")
    assert again.plan == done.plan
    Path("sums.jsonl").unlink()
    with pytest.raises(rlc.RlcError) as raised:
        rlc.run(done.plan, run_dir="there")
    assert raised.value.exit_code in (1, 4)
    assert raised.value.diagnostics[0].code == "RLC0601"
