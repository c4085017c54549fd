"""Machines compared with needs.  Oracles: this machine's own answers, and what the makers' tools print."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from runtime.doctor.examine import examine, parse_amd, parse_nvidia
from runtime.doctor.needs import Finding, NodeNeeds, PackageNeed, PortNeed, SharedFiles


def test_what_is_there_is_fine(tmp_path: Path) -> None:
    files = SharedFiles(reads=(str(tmp_path),), run_dir=str(tmp_path / "runs" / "x"))
    needs = NodeNeeds(node=3, host_gib=0.1, shm_gib=0.001, packages=(PackageNeed("pytest", ""),))
    found = examine(needs, files)
    assert {f.state for f in found} == {"fine"}
    assert [f.what for f in found] == ["host memory", "/dev/shm", "packages", "files", "disk"]
    assert {f.node for f in found} == {3}


def test_more_memory_than_any_machine_has_is_short(tmp_path: Path) -> None:
    found = _by_what(NodeNeeds(node=0, host_gib=1e6, shm_gib=1e6, disk_gib=1e6), tmp_path)
    assert {what: f.state for what, f in found.items()} == {
        "host memory": "short",
        "/dev/shm": "short",
        "disk": "short",
    }
    assert "1000000.0 GiB are planned" in found["host memory"].told


def test_the_memory_of_ranks_on_processors_is_a_bound(tmp_path: Path) -> None:
    found = _by_what(NodeNeeds(node=0, gpu="CPU-4", host_gib=1e6), tmp_path)
    assert found["host memory"].state == "unsure"


def test_a_port_that_is_listened_on_is_named_with_its_process(tmp_path: Path) -> None:
    with _listening() as port:
        (finding,) = _of("ports", NodeNeeds(node=0, ports=(PortNeed(port, "rollout 2"),)), tmp_path)
        assert (finding.state, finding.told) == ("short", f"{port}, of rollout 2, is taken")
    (finding,) = _of("ports", NodeNeeds(node=0, ports=(PortNeed(port, "rollout 2"),)), tmp_path)
    assert finding.state == "fine"


def test_packages_are_compared_by_version(tmp_path: Path) -> None:
    needs = (
        PackageNeed("pytest", version("pytest")),
        PackageNeed("ruff", "0.0.1"),
        PackageNeed("no-such-thing", "2.0"),
    )
    found = _of("packages", NodeNeeds(node=0, packages=needs), tmp_path)
    assert [(f.state, f.way) for f in found] == [
        ("short", "pip install 'ruff==0.0.1': options differ from version to version"),
        ("short", "pip install 'no-such-thing==2.0'"),
        ("fine", ""),
    ]


def test_a_folder_that_another_machine_wrote_into_is_recognised_by_what_it_wrote(tmp_path: Path) -> None:
    beacon = tmp_path / "beacon"
    beacon.write_text("abc", encoding="utf-8")
    states = {}
    for text, path in (("abc", beacon), ("other", beacon), ("abc", tmp_path / "elsewhere")):
        files = SharedFiles(reads=(), run_dir=str(tmp_path), beacon=(str(path), text))
        found = [f for f in examine(NodeNeeds(node=1), files) if f.what == "run directory"]
        states[text, path.name] = [f.state for f in found]
    assert states == {("abc", "beacon"): ["fine"], ("other", "beacon"): ["short"], ("abc", "elsewhere"): ["short"]}


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    files = SharedFiles(reads=(str(tmp_path), str(tmp_path / "weights")), run_dir=str(tmp_path))
    (finding,) = [f for f in examine(NodeNeeds(node=0), files) if f.what == "files"]
    assert (finding.state, finding.told) == ("short", f"{tmp_path / 'weights'} cannot be read there")


def test_without_the_makers_tool_gpus_are_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (finding,) = _of("GPUs", NodeNeeds(node=0, gpus=8, gpu="H100-80-SXM", gpu_gib=79.6, vendor="nvidia"), tmp_path)
    assert finding.told == "8 x H100-80-SXM are asked for, and nvidia-smi is not installed there"


@pytest.mark.parametrize(
    ("printed", "state", "told"),
    [
        ("NVIDIA H100 80GB HBM3, 81559\n" * 8, "fine", "8 x NVIDIA H100 80GB HBM3 of 80 GiB"),
        ("NVIDIA H100 80GB HBM3, 81559\n" * 7, "short", "there are 7"),
        ("NVIDIA A100-SXM4-40GB, 40960\n" * 8, "short", "H100-80-SXM has 80 GiB, and there is"),
        ("NVIDIA H200, 143771\n" * 8, "unsure", "H100-80-SXM is planned, and there is NVIDIA H200 of 140 GiB"),
    ],
)
def test_gpus_are_counted_measured_and_named(
    printed: str, state: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{printed}END\n", encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (finding,) = _of("GPUs", NodeNeeds(node=0, gpus=8, gpu="H100-80-SXM", gpu_gib=79.6, vendor="nvidia"), tmp_path)
    assert finding.state == state
    assert told in finding.told


def test_what_the_makers_tools_print_is_read() -> None:
    assert parse_nvidia("NVIDIA GB200, 189471\nNVIDIA GB200, [N/A]\n") == [
        ("NVIDIA GB200", 189471 / 1024),
        ("NVIDIA GB200", 0.0),
    ]
    printed = "gpu,market_name,type,size\n0,AMD Instinct MI300X,HBM,196592 MB\n"
    ((name, gib),) = parse_amd(printed)
    assert (name, round(gib, 1)) == ("AMD Instinct MI300X", 192.0)


def _by_what(needs: NodeNeeds, folder: Path) -> dict[str, Finding]:
    return {f.what: f for f in examine(needs, SharedFiles(reads=(), run_dir=str(folder)))}


def _of(what: str, needs: NodeNeeds, folder: Path) -> list[Finding]:
    return [f for f in examine(needs, SharedFiles(reads=(), run_dir=str(folder))) if f.what == what]


@contextlib.contextmanager
def _listening() -> Iterator[int]:
    with contextlib.closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]
