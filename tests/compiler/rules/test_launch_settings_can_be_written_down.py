"""RLC0800: what [launch] holds can be written into a script, a directive or a manifest."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import codes

GOOD = {
    "launch.image": '"registry.example.com:5000/team/rlc-cuda:1.2@sha256:0123"',
    "launch.shared_dir": '"/mnt/a folder"',
    "launch.mounts": '["/scratch", "/data/x.y"]',
    "launch.secrets": '["WANDB_API_KEY", "_x9"]',
    "launch.time_limit_s": '"301s"',
    "launch.slurm.partition": '"batch,spare_2"',
    "launch.kubernetes.namespace": '"team-1"',
    "launch.kubernetes.node_selector": '["example.com/pool=a", "gpu="]',
    "launch.kubernetes.tolerations": '["example.com/batch"]',
}
BAD = {
    "launch.image": ('"rlc; reboot"', '"-rm"', '""'),
    "launch.shared_dir": ('"shared"', '"/a:/b"', '"/a,b"', '"/a/../b"', '"/a\\nb"'),
    "launch.root": ('"data"',),
    "launch.mounts": ('["/a", "b"]',),
    "launch.secrets": ('["A-B"]', '["1A"]', '[""]', '["A B"]', '["A\\nB"]'),
    "launch.time_limit_s": ('"300s"',),
    "launch.slurm.partition": ('"a b"', '"a\\n#SBATCH --x"', '"--wrap"', '""'),
    "launch.slurm.account": ('"a;b"',),
    "launch.slurm.qos": ('"a\'b"',),
    "launch.kubernetes.namespace": ('"Team"', '"a_b"', '"-a"', '"a."', f'"{"a" * 64}"'),
    "launch.kubernetes.claim": ('""',),
    "launch.kubernetes.secret": ('"a/b"',),
    "launch.kubernetes.node_selector": ('["pool"]', '["=a"]', '["a=b=c"]', '["a=b c"]'),
    "launch.kubernetes.tolerations": ('["a b"]', '[""]'),
}


@pytest.mark.parametrize("path", GOOD)
def test_a_text_that_fits_is_taken(tmp_path: Path, path: str) -> None:
    assert codes(tmp_path, {path: GOOD[path]}) == []


@pytest.mark.parametrize(("path", "value"), [(path, value) for path, values in BAD.items() for value in values])
def test_a_text_that_would_mean_something_else_is_refused(tmp_path: Path, path: str, value: str) -> None:
    assert codes(tmp_path, {path: value}) == ["RLC0800"]
