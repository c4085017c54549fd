"""RLC0382 (EPI-03): there are tools, and the model can tell them apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes


@pytest.mark.parametrize(
    ("tools", "expected"),
    [
        (None, ["RLC0382"]),
        ('[{ name = "calculator" }]', []),
        ('[{ name = "calculator" }, { name = "a.py:look" }]', []),
        ('[{ name = "a.py:look" }, { name = "b.py:look" }]', ["RLC0382"]),
        ('[{ name = "a.py:calculator" }, { name = "calculator" }]', ["RLC0382"]),
    ],
)
def test_every_tool_has_a_name_of_its_own(tmp_path: Path, tools: str | None, expected: list[str]) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text("def look(a, b, c):\n    pass\ndef calculator(*, x):\n    pass\n")
    changes: Changes = {
        "environment.name": '"tools"',
        "environment.tools": tools,
        "environment.max_observation_tokens": "32",
        "rollout.max_prompt_tokens": "64",
    }
    assert codes(tmp_path, changes) == expected
