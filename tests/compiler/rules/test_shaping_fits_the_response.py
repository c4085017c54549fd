"""The last shaping that is fine, and the first that is not."""

from pathlib import Path

import pytest

from compiler.ir.paths import read
from compiler.ir.rollout import Reward
from tests.support.good_spec import SFT, Changes, codes, compiled

OVERLONG, SCALE = "reward.shaping.overlong", "reward.shaping.scale"


@pytest.mark.parametrize(
    ("changes", "raised"),
    [
        ({f"{OVERLONG}.buffer_tokens": "16"}, []),
        ({f"{OVERLONG}.buffer_tokens": "17"}, ["RLC0343"]),
        ({f"{OVERLONG}.buffer_tokens": "4", f"{OVERLONG}.max_tokens": "16"}, []),
        ({f"{OVERLONG}.buffer_tokens": "4", f"{OVERLONG}.max_tokens": "17"}, ["RLC0343"]),
        ({f"{SCALE}.source_min": "0.0", f"{SCALE}.source_max": "0.1"}, []),
        ({f"{SCALE}.source_min": "0.1", f"{SCALE}.source_max": "0.1"}, ["RLC0343"]),
        ({"reward.shaping.truncated_coef": "0.0"}, []),
    ],
)
def test_lengths_and_ranges_at_their_bounds(tmp_path: Path, changes: Changes, raised: list[str]) -> None:
    assert codes(tmp_path, changes) == raised


def test_the_limit_is_what_a_response_may_take(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {f"{OVERLONG}.buffer_tokens": "4"}).plan
    assert plan is not None
    reward = plan.experiment.stages[0].reward
    assert isinstance(reward, Reward)
    assert read(reward, "shaping.overlong.max_tokens") == 16


def test_a_stage_without_rewards_has_no_shaping(tmp_path: Path) -> None:
    assert codes(tmp_path, {f"{OVERLONG}.buffer_tokens": "400"}, base=SFT) == ["RLC0202"]
