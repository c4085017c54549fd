"""Containers of targets: versions are those that the target pins, and what is installed is what the extra names."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from checks.tree import ROOT
from compiler.emit.artefacts._job import job_of
from rlc.catalogue import load_container, load_hardware, load_target, scan
from tests.support.launch_files import files_of, shipped_plan

GPU_TARGETS = tuple(name for name in scan().targets if load_target(name).vendor)


@pytest.mark.parametrize("name", ["cuda", "rocm"])
def test_every_engine_has_an_image_of_its_pinned_version_for_every_gpu(name: str) -> None:
    target, container = load_target(name), load_container(name)
    gpus = [gpu.name for gpu in load_hardware().values() if gpu.vendor == target.vendor]
    assert gpus
    for engine in target.rollout_engines:
        for gpu in gpus:
            assert f":v{target.version_of(engine)}" in container.base_image(engine, gpu)


@pytest.mark.parametrize(("gpu", "image"), [("MI300X-192", "mi30x"), ("MI325X-256", "mi30x"), ("MI355X-288", "mi35x")])
def test_amds_images_are_built_for_the_gpu(gpu: str, image: str) -> None:
    assert load_container("rocm").base_image("sglang", gpu).endswith(image)


@pytest.mark.parametrize("name", ["cuda", "rocm"])
def test_what_is_installed_is_what_the_extra_names_without_the_engine_of_the_image(name: str) -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        extra = tomllib.load(file)["project"]["optional-dependencies"][name]
    container = load_container(name)
    installed = {_package(one): one for one in container.install if one != "."}
    assert installed.keys() == {_package(one) for one in extra} - {"torch", "sglang"}
    assert installed["ray"] == f"ray[default]=={container.ray_version}"
    assert installed["megatron-core"] == f"megatron-core=={load_target(name).version_of('megatron')}"


def test_a_package_of_the_image_keeps_its_version_and_others_have_ours(tmp_path: Path) -> None:
    image = files_of("docker", shipped_plan("grpo_qwen3_4b.toml"))["Dockerfile"]
    found = re.search(r"&& (awk .*?)\n\nRUN|&& (awk .*?constraints\.txt)\n", image, re.DOTALL)
    assert found is not None
    command = (found[1] or found[2]).partition(">constraints.txt")[0]
    (tmp_path / "constraints").mkdir()
    (tmp_path / "held.txt").write_text("torch==2.9.1+cu130\nTyping_Extensions==4.1\n")
    (tmp_path / "constraints/cpu.txt").write_text(
        "# versions\nJinja2==3.1.6\ntorch==2.13.0\ntyping-extensions==4.16.0\n"
    )
    said = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines() == ["torch==2.9.1+cu130", "Typing_Extensions==4.1", "Jinja2==3.1.6"]


def test_a_plan_of_vllm_is_built_on_vllm() -> None:
    plan = shipped_plan("grpo_qwen3_4b.toml", ('run.executor="ray"', 'rollout.engine.name="vllm"'))
    assert job_of(plan, load_container("cuda")).base_image == "vllm/vllm-openai:v0.32.0"


def _package(requirement: str) -> str:
    return re.split(r"[\[<>=]", requirement)[0]
