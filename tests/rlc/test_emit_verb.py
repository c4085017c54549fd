"""`rlc emit` as it is called: what is written where, what is refused, and exit codes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rlc.cli.main import main
from tests.compiler.emit.plan_specs import ONE_STAGE
from tests.support.good_spec import GPU, spec_text

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(ONE_STAGE)


def emit(*words: str) -> int:
    return main(["emit", *words])


def test_the_list_says_what_each_is(capsys: Captured) -> None:
    assert emit("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["docker", "kubernetes", "ray_job", "slurm"]
    assert all(len(line.split()) > 3 for line in lines)


def test_files_go_where_their_names_are_told_with_the_plan_beside_them(capsys: Captured) -> None:
    assert emit("docker", "spec.toml") == 0
    names = capsys.readouterr().out.splitlines()
    assert names == [
        f"launch/sums/docker/{n}" for n in ("Dockerfile", "Dockerfile.dockerignore", "docker_run.sh", "plan.json")
    ]
    assert os.access("launch/sums/docker/docker_run.sh", os.X_OK)
    assert main(["plan", "spec.toml", "--check", "launch/sums/docker/plan.json"]) == 0


def test_a_saved_plan_is_launched_like_its_spec() -> None:
    assert main(["plan", "spec.toml", "-o", "plan.json"]) == 0
    assert emit("docker", "spec.toml", "-o", "a") == 0
    assert emit("docker", "plan.json", "-o", "b") == 0
    for file in Path("a").iterdir():
        assert (Path("b") / file.name).read_text() == file.read_text()


def test_what_was_written_before_is_replaced_and_what_was_not_is_kept(capsys: Captured) -> None:
    assert emit("docker", "spec.toml", "-o", "out") == 0
    assert emit("docker", "spec.toml", "-o", "out", "--set", "run.seed=1") == 0
    assert json.loads(Path("out/plan.json").read_text())["experiment"]["run"]["seed"] == 1
    Path("out/Dockerfile").write_text("FROM scratch\n")
    assert emit("docker", "spec.toml", "-o", "out", "--set", "run.seed=2") == 1
    assert "RLC0805" in capsys.readouterr().err
    assert Path("out/Dockerfile").read_text() == "FROM scratch\n"
    assert json.loads(Path("out/plan.json").read_text())["experiment"]["run"]["seed"] == 1


@pytest.mark.parametrize("name", ["Dockerfile", "plan.json"])
def test_a_link_is_not_followed(name: str, capsys: Captured) -> None:
    Path("out").mkdir()
    Path("mine").write_text("mine")
    Path("out", name).symlink_to(Path("mine").resolve())
    assert emit("docker", "spec.toml", "-o", "out") == 1
    assert "RLC0805" in capsys.readouterr().err
    assert Path("mine").read_text() == "mine"


def test_a_folder_that_is_none_is_said(capsys: Captured) -> None:
    Path("out").write_text("")
    assert emit("docker", "spec.toml", "-o", "out") == 1
    assert "RLC0022" in capsys.readouterr().err


def test_an_unknown_artefact_is_told_with_the_nearest(capsys: Captured) -> None:
    assert emit("slrum", "spec.toml") == 1
    said = capsys.readouterr().err
    assert "RLC0801" in said
    assert "slurm" in said


def test_nothing_to_write_is_a_wrong_command_line() -> None:
    assert emit() == 2
    assert emit("slurm") == 2


def test_a_spec_that_is_wrong_writes_nothing(capsys: Captured) -> None:
    assert emit("docker", "spec.toml", "--set", "rollout.samples_per_prompt=0") == 1
    assert "rollout.samples_per_prompt" in capsys.readouterr().err
    assert not Path("launch").exists()


@pytest.mark.parametrize("artefact", ["docker", "slurm", "kubernetes", "ray_job"])
def test_one_process_does_not_reach_eight_gpus(artefact: str, capsys: Captured) -> None:
    Path("checkpoint").mkdir()
    Path("gpus.toml").write_text(spec_text({}, base=GPU))
    assert emit(artefact, "gpus.toml") == 1
    said = capsys.readouterr().err
    assert "RLC0802" in said
    assert 'set run.executor = "ray"' in said


@pytest.mark.parametrize("artefact", ["kubernetes", "ray_job"])
def test_what_starts_ray_is_for_plans_that_ray_carries(artefact: str, capsys: Captured) -> None:
    assert emit(artefact, "spec.toml", "--set", 'launch.image="rlc:1"') == 1
    assert "RLC0802" in capsys.readouterr().err


def test_a_container_needs_an_image(capsys: Captured) -> None:
    assert emit("slurm", "spec.toml") == 1
    assert "RLC0803" in capsys.readouterr().err
    assert emit("slurm", "spec.toml", "--set", 'launch.slurm.container="none"') == 0


def test_settings_are_of_a_spec(capsys: Captured) -> None:
    assert main(["plan", "spec.toml", "-o", "plan.json"]) == 0
    assert emit("docker", "plan.json", "--set", "run.seed=1") == 1
    assert "RLC0017" in capsys.readouterr().err
