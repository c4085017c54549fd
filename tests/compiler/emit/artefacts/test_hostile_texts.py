"""Texts of a plan are inert in what is written of it: they reach `rlc run` whole, and nothing else happens."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from compiler.diagnostics.diagnostic import InternalError, SpecError
from compiler.emit.artefacts._job import job_of
from compiler.emit.artefacts._rendering import _environment
from compiler.ir.cluster_launch import default_launch
from compiler.ir.plan import Plan, read_plan
from rlc.catalogue import load_container, scan
from tests.support.launch_files import ARTEFACTS, IMAGE, files_of, shipped_plan

# What a file system can hold as one name.
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0/"), min_size=1, max_size=30)
HOSTILE = 'a"; rm -rf ~ #'
WITH_FILES = [HealthCheck.function_scoped_fixture]


def named(name: str) -> Plan:
    plan = shipped_plan("grpo_qwen3_4b.toml")
    return plan.replacing(experiment=plan.experiment.replacing(name=name))


@pytest.fixture
def words_of_rlc(tmp_path: Path) -> Path:
    """A program `rlc` that writes its words, each ended by a zero byte, into a file beside it."""
    program = tmp_path / "bin/rlc"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" >{shlex.quote(str(tmp_path / 'words'))}\n")
    program.chmod(0o755)
    return tmp_path / "words"


@settings(max_examples=25, deadline=None, suppress_health_check=WITH_FILES)
@given(name=NAMES)
@example(name=HOSTILE)
@example(name="$(touch x)`touch y`${HOME}")
@example(name="it's\n#SBATCH --nodes=9\n")
@example(name="{{ 7 * 7 }}{% raw %}")
@example(name="-rf")
def test_a_name_reaches_rlc_as_it_is(name: str, words_of_rlc: Path) -> None:
    script = words_of_rlc.parent / "run.sh"
    script.write_text(files_of("ray_job", named(name))["run.sh"])
    path = f"{words_of_rlc.parent}/bin:/usr/bin:/bin"
    subprocess.run(["bash", str(script)], env={"PATH": path}, check=True)
    words = words_of_rlc.read_bytes().decode().split("\0")
    wanted = ["run", f"{words_of_rlc.parent}/plan.json", "--root", "/shared", "--run-dir", f"/shared/runs/{name}", ""]
    assert words == wanted


@settings(max_examples=25, deadline=None)
@given(name=NAMES)
@example(name=HOSTILE)
@example(name="a: [b\n- c\x85\u2028d")
@example(name="\U0001f600 yes")
def test_a_name_is_one_value_of_a_manifest(name: str) -> None:
    plan = named(name)
    config_map, ray_job = yaml.safe_load_all(files_of("kubernetes", plan)["rayjob.yaml"])
    assert config_map["metadata"]["annotations"]["rlc/experiment"] == name
    saved = read_plan(config_map["data"]["plan.json"], name="plan.json", params_of=scan().params_of)
    assert saved.experiment.name == name
    assert ray_job["spec"]["entrypoint"] == "bash /launch/run.sh"


@pytest.mark.parametrize("name", ["93766e512345", "1e5", "y", "N", "0o17", "0x1f", "nan", "012345678901"])
def test_a_name_that_kubectl_would_read_as_a_number_or_a_truth_value_is_quoted(name: str) -> None:
    written = files_of("kubernetes", named(name))["rayjob.yaml"]
    assert written.count(f"rlc/experiment: '{name}'\n") == 2


@settings(max_examples=15, deadline=None)
@given(name=NAMES)
@example(name=HOSTILE)
@example(name="x\n#SBATCH --nodes=9")
def test_a_name_changes_no_directive_and_no_line_of_an_image(name: str) -> None:
    plain, hostile = files_of("slurm", named("plain")), files_of("slurm", named(name))
    assert directives(hostile["job.sbatch"]) == directives(plain["job.sbatch"])
    assert files_of("docker", named(name))["Dockerfile"] == files_of("docker", named("plain"))["Dockerfile"]


def directives(script: str) -> list[str]:
    """What sbatch reads: comments before the first command, without the name of the job."""
    head = script[: script.index("\nset -euo pipefail")]
    return [line for line in head.splitlines() if "--job-name" not in line]


@pytest.mark.parametrize("name", [HOSTILE, "$(x)", "a\nb"])
def test_the_shell_reads_every_script(name: str) -> None:
    plan = named(name)
    for artefact in ARTEFACTS:
        for file, text in files_of(artefact, plan).items():
            if file.endswith((".sh", ".sbatch")):
                subprocess.run(["bash", "-n"], input=text, text=True, check=True)


def test_a_saved_plan_whose_launch_was_edited_is_looked_at_again() -> None:
    plan = shipped_plan("grpo_qwen3_4b.toml")
    slurm = default_launch().slurm.replacing(partition="x\n#SBATCH --uid=0")
    launch = default_launch().replacing(image=IMAGE, slurm=slurm)
    edited = plan.replacing(experiment=plan.experiment.replacing(launch=launch))
    assert edited.hash == plan.hash, "the hash does not tell"
    with pytest.raises(SpecError, match="RLC0800"):
        files_of("slurm", edited)


def test_a_value_without_a_filter_is_not_written() -> None:
    plan = shipped_plan("grpo_qwen3_4b.toml")
    job = job_of(plan, load_container("cuda"))
    with pytest.raises(InternalError, match="without a filter"):
        _environment().from_string("name={{ job.plan.experiment.name }}").render(job=job)
    with pytest.raises(InternalError, match="nothing can be quoted"):
        _environment().from_string("{{ name | word }}").render(name="a b")
