"""Several rewards are listed, told apart by their labels, and weigh something."""

from pathlib import Path

import pytest

from tests.support.good_spec import codes, messages


@pytest.mark.parametrize(
    ("terms", "raised"),
    [
        ('[{ name = "exact" }]', []),
        ('[{ name = "exact", weight = 0.0 }, { name = "math", weight = -1.0 }]', []),
        ('[{ name = "exact", weight = 0.0 }, { name = "math", weight = 0.0 }]', ["RLC0341"]),
        ('[{ name = "exact" }, { name = "exact" }]', ["RLC0341"]),
        ('[{ name = "exact" }, { name = "exact", label = "again" }]', []),
        ('[{ name = "exact" }, { name = "math", label = "exact" }]', ["RLC0341"]),
        ('[{ name = "exact", label = "failed" }]', ["RLC0341"]),
        ('[{ name = "exact", label = "a b" }]', ["RLC0341"]),
    ],
)
def test_labels_and_weights(tmp_path: Path, terms: str, raised: list[str]) -> None:
    assert codes(tmp_path, {"reward.name": '"weighted_sum"', "reward.terms": terms}) == raised


def test_a_sum_and_a_choice_list_their_terms(tmp_path: Path) -> None:
    assert messages(tmp_path, {"reward.name": '"weighted_sum"'}) == ["weighted_sum has no terms"]
    assert messages(tmp_path, {"reward.name": '"by_row"', "data.train": '[{ path = "a", metadata_key = "m" }]'}) == [
        "by_row has no terms"
    ]
