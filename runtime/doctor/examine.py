"""What a machine has, compared with what a plan asks of it.  Nothing is loaded, and nothing but ports is taken.

GPUs are counted by the tools of their makers, so that no library that takes memory on them is loaded.  A function of
this file runs on every machine of a cluster; what it returns is told by `rlc doctor`.
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from runtime.doctor.needs import Finding, NodeNeeds, SharedFiles

_GIB = 2**30
_ANSWER_S = 30.0
_SLACK = 0.97  # drivers report a little less than a datasheet says


def examine(needs: NodeNeeds, files: SharedFiles) -> list[Finding]:
    """Return what was looked at on this machine."""
    looked = (_gpus(needs), _host_memory(needs), _shared_memory(needs), _ports(needs), _packages(needs))
    return [finding for part in (*looked, _files(needs, files), _disk(needs, files)) for finding in part]


def _gpus(needs: NodeNeeds) -> Iterator[Finding]:
    if not needs.vendor:
        return
    node, wanted = needs.node, f"{needs.gpus} x {needs.gpu}"
    listed = _listed(needs.vendor)
    if isinstance(listed, str):
        yield Finding(node, "GPUs", "short", f"{wanted} are asked for, and {listed}", "name machines that have them")
        return
    told = ", ".join(sorted({f"{name} of {gib:.0f} GiB" for name, gib in listed})) or "none"
    if len(listed) < needs.gpus:
        way = "set cluster.gpus_per_node to what a machine has"
        yield Finding(node, "GPUs", "short", f"{wanted} are asked for, and there are {len(listed)}: {told}", way)
    elif any(gib < needs.gpu_gib * _SLACK for _, gib in listed[: needs.gpus]):
        way = "plan for the GPUs that are there: cluster.gpus_per_node, `rlc hardware`"
        yield Finding(node, "GPUs", "short", f"{needs.gpu} has {needs.gpu_gib:.0f} GiB, and there is {told}", way)
    elif not all(_is_called(needs.gpu, name) for name, _ in listed[: needs.gpus]):
        way = "the forecast of time is that of the planned ones"
        yield Finding(node, "GPUs", "unsure", f"{needs.gpu} is planned, and there is {told}", way)
    else:
        yield Finding(node, "GPUs", "fine", f"{len(listed)} x {told}")


def _is_called(planned: str, found: str) -> bool:
    """Whether a driver's name, as `NVIDIA H100 80GB HBM3`, is that of a row of stdlib/hardware, as `H100-80-SXM`."""
    return planned.partition("-")[0].lower() in found.lower()


def _listed(vendor: str) -> list[tuple[str, float]] | str:
    """Return names and memory in GiB of all GPUs, or why they cannot be listed."""
    if vendor == "nvidia":
        words = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    else:
        words = ["amd-smi", "static", "--asic", "--vram", "--csv"]
    try:
        run = subprocess.run(words, capture_output=True, text=True, timeout=_ANSWER_S, check=False)
    except FileNotFoundError:
        return f"{words[0]} is not installed there"
    except (OSError, subprocess.TimeoutExpired) as fault:
        return f"{words[0]} does not answer: {fault}"
    if run.returncode:
        lines = (run.stderr or run.stdout).strip().splitlines()
        return f"{words[0]} fails: {lines[-1] if lines else f'it left with {run.returncode}'}"
    return parse_nvidia(run.stdout) if vendor == "nvidia" else parse_amd(run.stdout)


def parse_nvidia(text: str) -> list[tuple[str, float]]:
    """Return names and memory in GiB of what nvidia-smi lists in MiB; a GPU that it cannot read has no memory."""
    found: list[tuple[str, float]] = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) == 2:
            found.append((row[0], float(row[1]) / 1024 if row[1].strip().isdigit() else 0.0))
    return found


def parse_amd(text: str) -> list[tuple[str, float]]:
    """Return names and memory in GiB of what amd-smi lists in MiB, which it calls MB; columns are found by name."""
    found: list[tuple[str, float]] = []
    for row in csv.DictReader(line for line in text.splitlines() if "," in line):
        size = row.get("size") or row.get("vram_size") or ""
        digits = "".join(character for character in size if character.isdigit())
        found.append((row.get("market_name") or "", int(digits) / 1024 if digits else 0.0))
    return found


def _host_memory(needs: NodeNeeds) -> Iterator[Finding]:
    available = _available_gib()
    told = f"{needs.host_gib:.1f} GiB are planned, {available:.1f} GiB are free"
    if available < needs.host_gib:
        way = "let go of what else runs there, or keep less on the host (optimizer offload, the buffer)"
        # Ranks on processors are planned as those on GPUs are, whose libraries take several times as much.
        is_bound = bool(needs.gpu) and not needs.vendor
        yield Finding(needs.node, "host memory", "unsure" if is_bound else "short", told, way)
    else:
        yield Finding(needs.node, "host memory", "fine", told)


def _available_gib() -> float:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 2**20
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / _GIB


def _shared_memory(needs: NodeNeeds) -> Iterator[Finding]:
    if not needs.shm_gib:
        return
    free = shutil.disk_usage("/dev/shm").free / _GIB
    told = f"{needs.shm_gib:.1f} GiB are planned, {free:.1f} GiB are free"
    if free < needs.shm_gib:
        way = "start the container with --ipc=host, or with a larger --shm-size"
        yield Finding(needs.node, "/dev/shm", "short", told, way)
    else:
        yield Finding(needs.node, "/dev/shm", "fine", told)


def _ports(needs: NodeNeeds) -> Iterator[Finding]:
    taken = [need for need in needs.ports if not _is_free(need.port)]
    for need in taken[:3]:
        way = f"end what listens there (ss -ltnp 'sport = :{need.port}'), or give the machine to this run alone"
        yield Finding(needs.node, "ports", "short", f"{need.port}, of {need.process}, is taken", way)
    if needs.ports and not taken:
        first, last = min(n.port for n in needs.ports), max(n.port for n in needs.ports)
        yield Finding(needs.node, "ports", "fine", f"{len(needs.ports)} between {first} and {last} are free")


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _packages(needs: NodeNeeds) -> Iterator[Finding]:
    fine: list[str] = []
    for need in needs.packages:
        try:
            found = version(need.name)
        except PackageNotFoundError:
            way = f"pip install '{need.name}{f'=={need.version}' if need.version else ''}'"
            yield Finding(needs.node, "packages", "short", f"{need.name} is not installed", way)
            continue
        if need.version and found.partition("+")[0] != need.version:
            told = f"{need.name} is {found}, and the plan was made for {need.version}"
            way = f"pip install '{need.name}=={need.version}': options differ from version to version"
            yield Finding(needs.node, "packages", "short", told, way)
        else:
            fine.append(f"{need.name} {found}")
    if fine:
        yield Finding(needs.node, "packages", "fine", ", ".join(fine))


def _files(needs: NodeNeeds, files: SharedFiles) -> Iterator[Finding]:
    missing = [path for path in files.reads if not os.access(path, os.R_OK)]
    for path in missing[:3]:
        way = "every machine reads the files of a plan: put them where all see them"
        yield Finding(needs.node, "files", "short", f"{path} cannot be read there", way)
    if files.reads and not missing:
        yield Finding(needs.node, "files", "fine", f"{len(files.reads)} that the plan names can be read")
    path, text = files.beacon
    if not path:
        return
    try:
        is_same = Path(path).read_text(encoding="utf-8") == text
    except OSError:
        is_same = False
    if is_same:
        yield Finding(needs.node, "run directory", "fine", f"{files.run_dir} is the same folder there")
    else:
        way = "name a folder that all machines share: --run-dir"
        yield Finding(needs.node, "run directory", "short", f"{files.run_dir} is another folder there, or none", way)


def _disk(needs: NodeNeeds, files: SharedFiles) -> Iterator[Finding]:
    folder = Path(files.run_dir)
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        yield Finding(needs.node, "disk", "short", f"{folder} cannot be written to", "name another --run-dir")
        return
    free = shutil.disk_usage(folder).free / _GIB
    told = f"a checkpoint takes {needs.disk_gib:.1f} GiB, {free:.1f} GiB are free"
    if free < needs.disk_gib:
        yield Finding(needs.node, "disk", "short", told, "make room, or name another --run-dir")
    elif free < 3 * needs.disk_gib:
        way = "keep fewer: checkpoint.keep_latest"
        yield Finding(needs.node, "disk", "unsure", told, way)
    else:
        yield Finding(needs.node, "disk", "fine", told)
