"""RLC0356 (ALGO-08): nothing begins with the weights of a reward model."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from tests.compiler.bad_specs import CASES

SPEC = (CASES / "RLC0356_a_policy_after_a_reward_model.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(("order", "expected"), [((0, 1), ["RLC0356"]), ((1, 0), []), ((0,), []), ((1,), [])])
def test_a_reward_model_is_the_last_stage(tmp_path: Path, order: tuple[int, ...], expected: list[str]) -> None:
    head, *stages = SPEC.split("[[stages]]")
    written = "".join(["[[stages]]" + stages[at].rstrip() + "\n\n" for at in order])
    (tmp_path / "spec.toml").write_text(head + written, encoding="utf-8")
    found = [d.code for d in compile_spec(tmp_path / "spec.toml", scan()).diagnostics if d.severity == "error"]
    # Without the policy nobody reads how it would have sampled.
    assert [code for code in found if code != "RLC0202"] == expected


def test_of_two_reward_models_neither_is_told_to_change_places(tmp_path: Path) -> None:
    head, first, _ = SPEC.split("[[stages]]")
    other = first.replace('"scorer"', '"other"').rstrip()
    (tmp_path / "spec.toml").write_text(f"{head}[[stages]]{first}[[stages]]{other}\n", encoding="utf-8")
    found = [d for d in compile_spec(tmp_path / "spec.toml", scan()).diagnostics if d.code == "RLC0356"]
    assert [[way.text.partition(",")[0] for way in d.help] for d in found] == [["train it in an experiment of its own"]]
