"""Weights stand beside every source of a mixture, or nowhere."""

from pathlib import Path

import pytest

from tests.support.good_spec import codes


@pytest.mark.parametrize(
    ("settings", "raised"),
    [
        ([""], []),
        (["weight = 1.0"], ["RLC0364"]),
        (["", ""], []),
        (["weight = 1.0", "weight = 0.5"], []),
        (["weight = 1.0", ""], ["RLC0364"]),
        (["streaming = true"], []),
        (["streaming = true", ""], ["RLC0364"]),
        (["", "streaming = true"], ["RLC0364"]),
        (["streaming = true, weight = 1.0", "weight = 1.0"], []),
        (["weight = 0.0", "weight = 1.0"], ["RLC0204"]),
    ],
)
def test_which_weights_make_a_mixture(tmp_path: Path, settings: list[str], raised: list[str]) -> None:
    sources = ", ".join(f'{{ path = "{i}.jsonl"{", " * bool(one)}{one} }}' for i, one in enumerate(settings))
    assert codes(tmp_path, {"data.train": f"[{sources}]"}) == raised
