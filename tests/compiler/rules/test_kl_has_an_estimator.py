"""RLC0309 (ALGO-01): a coefficient weighs an estimate; an estimate without one is a monitor."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.openness import OFF
from tests.support.good_spec import codes, compiled


@pytest.mark.parametrize(("estimator", "coef"), [("k1", "0"), ("k2", "0"), ("k3", "0"), ("k2", "0.01"), ("k3", "0.01")])
def test_an_estimator_with_or_without_a_weight_is_fine(tmp_path: Path, estimator: str, coef: str) -> None:
    assert codes(tmp_path, {"loss.kl.estimator": f'"{estimator}"', "loss.kl.coef": coef}) == []


@pytest.mark.parametrize("coef", ["0", "0.01"])
def test_a_weight_of_nothing_is_refused_even_if_it_is_zero(tmp_path: Path, coef: str) -> None:
    assert codes(tmp_path, {"loss.kl.coef": coef}) == ["RLC0309"]


@pytest.mark.parametrize(("estimator", "reference"), [("k3", "stage_start"), ("off", OFF)])
def test_who_estimates_keeps_the_weights_that_it_started_from(
    tmp_path: Path, estimator: str, reference: object
) -> None:
    plan = compiled(tmp_path, {"loss.kl.estimator": f'"{estimator}"'}).plan
    assert plan is not None
    assert plan.experiment.stages[0].reference == reference


def test_a_weight_of_k1_is_a_warning(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"loss.kl.estimator": '"k1"', "loss.kl.coef": "0.01"})
    assert found.plan is not None
    assert [(d.code, d.severity) for d in found.diagnostics] == [("RLC0309", "warning")]


@pytest.mark.parametrize(("place", "expected"), [("reward", ["RLC0309"]), ("loss", [])])
def test_a_weight_is_for_a_term_of_the_loss(tmp_path: Path, place: str, expected: list[str]) -> None:
    kl = {
        "loss.kl.estimator": '"k2"',
        "loss.kl.coef": "0.01",
        "loss.kl.weight": '"score"',
        "loss.kl.place": f'"{place}"',
    }
    assert (
        codes(tmp_path, {"use": '["//recipes:reinforce_plus_plus"]', **kl, "loss.kl.place": f'"{place}"'}) == expected
    )
