"""RLC0329 (DBG-02): nothing follows a stage that trains nothing, and nothing waits for it to get better."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from tests.compiler.bad_specs import CASES

TWO = (CASES / "RLC0329_a_stage_after_one_that_only_samples.toml").read_text(encoding="utf-8")
BOUND = (CASES / "RLC0329_a_bound_that_nothing_moves_towards.toml").read_text(encoding="utf-8")
ONLY = 'debug.mode = "rollout_only"\n'
UNTIL = 'until = "eval.heldout.accuracy >= 0.5"\n'


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (TWO, ["RLC0329"]),
        (TWO.replace(ONLY, ""), []),
        (TWO.replace(ONLY, "") + ONLY, []),
        (BOUND, ["RLC0329"]),
        (BOUND.replace(UNTIL, ""), []),
        (BOUND.replace("rollout_only", "full"), []),
    ],
)
def test_what_only_samples_is_the_end(tmp_path: Path, spec: str, expected: list[str]) -> None:
    (tmp_path / "spec.toml").write_text(spec, encoding="utf-8")
    assert [d.code for d in compile_spec(tmp_path / "spec.toml", scan()).diagnostics] == expected
