"""RLC0535 (LIVE-04): places of all engines are between a group and what may be under way."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes, compiled

ASYNC: Changes = {"schedule.mode": '"async"', "placement.mode": '"split"', "placement.train_gpus": "4"}


@pytest.mark.parametrize(
    ("places", "lag", "fits"),
    [
        ("128", "1", True),
        ("129", "1", False),
        ("129", "2", True),
        ("64", "1", True),
        ("63", "1", False),
        ("1", "1", False),
    ],
)
def test_four_engines_have_places_for_512_samples_and_for_a_rollout_of_256(
    tmp_path: Path, places: str, lag: str, fits: bool
) -> None:
    """Rollouts of 32 x 8 samples, of which lag + 1 may be under way: 128 places on each of four engines."""
    changes: Changes = {**ASYNC, "rollout.concurrency": places, "schedule.max_staleness": lag}
    found = compiled(tmp_path, changes, base=GPU)
    assert found.plan is not None
    assert ("RLC0535" not in [d.code for d in found.diagnostics]) == fits


def test_what_nobody_wrote_and_what_waits_is_left_alone(tmp_path: Path) -> None:
    assert "RLC0535" not in codes(tmp_path, ASYNC, base=GPU)
    assert "RLC0535" not in codes(tmp_path, {"rollout.concurrency": "4096"}, base=GPU)


@pytest.mark.parametrize("places", ["1", "32", "500"])
def test_the_way_out_fits(tmp_path: Path, places: str) -> None:
    changes: Changes = {**ASYNC, "rollout.concurrency": places}
    ways = [w.sets for d in compiled(tmp_path, changes, base=GPU).diagnostics if d.code == "RLC0535" for w in d.help]
    assert len(ways) == 1
    assert "RLC0535" not in codes(tmp_path, {**changes, **dict(ways[0])}, base=GPU)
