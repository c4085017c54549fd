"""What people run, on the GPUs that they run it on: a layout that fits is found, and it is never slower by the clock.

All 60 are found one; N177, which trains 35B-A3B with FSDP2 on 32 GPUs, with activations that are computed again.
"""

from __future__ import annotations

from pathlib import Path

from checks.planner.library import Library
from checks.planner.recipe_choices import recipe_choices
from checks.planner.tables import recipes


def test_recipes_are_found_feasible_and_matched(tmp_path: Path) -> None:
    found = list(recipe_choices(recipes(), Library(), tmp_path))
    assert len(found) >= 60
    assert len([one for one in found if one.chosen_s is not None]) == len(found)
    slower = [one for one in found if one.fits and (one.chosen_s is None or one.chosen_s > one.own_s * (1 + 1e-9))]
    assert slower == []
