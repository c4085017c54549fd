"""The tiny experiment on a cluster of this machine: two ranks that train on FSDP2, and two engines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.tiny_experiment import SPEC, write_experiment

_ON_ONE_PROCESS = 'target = "cpu"\ncpu_threads = 1\n'
_MODES = {
    "split": 'mode = "split"\ntrain_gpus = 2\nrollout_gpus = 2',
    "colocate": 'mode = "colocate"',
}


def cluster_spec(*, mode: str = "split", nodes: int = 1, gpus: int = 4, dp: int = 2, more: str = "") -> str:
    """Return the tiny experiment for machines of so many ranks each; `more` is put between its tables."""
    machines = f"""target = "cpu_cluster"
nodes = {nodes}
gpus_per_node = "{gpus}xCPU-4"
cpu_threads = 1

[parallel]
dp = {dp}

[placement]
{_MODES[mode]}

[run]
executor = "ray"
{more}
"""
    assert _ON_ONE_PROCESS in SPEC
    return SPEC.replace(_ON_ONE_PROCESS, machines)


def write_cluster_experiment(folder: Path, name: str, spec: str, changes: Mapping[str, str] | None = None) -> Path:
    """Write a spec, with texts replaced, beside what the tiny experiment reads, and return where it is."""
    write_experiment(folder)
    for text, other in (changes or {}).items():
        assert text in spec, text
        spec = spec.replace(text, other)
    path = folder / name
    path.write_text(spec, encoding="utf-8")
    return path
