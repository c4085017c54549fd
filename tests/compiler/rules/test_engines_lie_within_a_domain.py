"""RLC0546: engines lie within a domain of NVLink, counted against a walk over all GPUs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, compiled

RACKS: Changes = {
    "cluster.gpus_per_node": '"4xGB200-192"',
    "cluster.nodes": "36",
    "rollout.prompts_per_step": "36",
    "train.global_batch": "288",
}
DOMAIN = 72


@pytest.mark.parametrize("each", [1, 2, 4, 8, 12, 16, 24, 36, 48, 72, 144])
def test_the_engines_that_are_counted_are_those_with_gpus_in_two_domains(tmp_path: Path, each: int) -> None:
    found = compiled(tmp_path, {**RACKS, "placement.gpus_per_engine": str(each)}, base=GPU).diagnostics
    said = [d.message for d in found if d.code == "RLC0546"]
    engines = [range(first, first + each) for first in range(0, 144, each)]
    across = sum(len({gpu // DOMAIN for gpu in gpus}) > 1 for gpus in engines) if each <= DOMAIN else 0
    expected = [f"{across} of {len(engines)} engines of {each} GPUs lie across two domains of {DOMAIN}"]
    assert said == (expected if across else [])


def test_machines_that_are_domains_of_their_own_say_nothing(tmp_path: Path) -> None:
    changes: Changes = {"cluster.nodes": "2", "placement.gpus_per_engine": "16"}
    assert "RLC0546" not in [d.code for d in compiled(tmp_path, changes, base=GPU).diagnostics]
