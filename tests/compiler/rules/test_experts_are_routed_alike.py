"""RLC0536 (ALGO-05): two engines choose experts, each for itself."""

from __future__ import annotations

from pathlib import Path

from tests.support.good_spec import GPU, MOE, SFT, Changes, codes, compiled

FITS: Changes = {"parallel.ep": "8"}


def test_a_model_of_experts_that_samples_is_warned_of_once(tmp_path: Path) -> None:
    found = compiled(tmp_path, {**FITS, "stages": '[{ name = "a" }, { name = "b" }]'}, base=MOE)
    assert found.plan is not None
    assert [(d.code, d.severity) for d in found.diagnostics] == [("RLC0536", "warning")]


def test_a_dense_model_and_demonstrations_are_not(tmp_path: Path) -> None:
    assert "RLC0536" not in codes(tmp_path, {}, base=GPU)
    gpu: Changes = {field: MOE[field] for field in MOE if field.startswith(("model.", "cluster."))}
    assert "RLC0536" not in codes(tmp_path, {**gpu, **FITS}, base=SFT)


def test_a_reason_lets_it_through(tmp_path: Path) -> None:
    allow: Changes = {"allow": '[{ rule = "RLC0536", why = "the distance is watched" }]'}
    assert codes(tmp_path, {**FITS, **allow}, base=MOE) == []
