"""RLC0314 (CFG-03): every field of a plan says where it came from; only a fault of a pass can break it."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.paths import leaves
from compiler.ir.provenance import Provenance
from compiler.rules.every_value_has_an_origin import check
from tests.support.good_spec import GRPO, SFT, compiled


@pytest.mark.parametrize("base", [GRPO, SFT], ids=["grpo", "sft"])
def test_every_leaf_of_a_plan_has_an_origin(tmp_path: Path, base: dict[str, str]) -> None:
    found = compiled(tmp_path, {}, base=base)
    assert found.subject is not None
    assert [path for path, _ in leaves(found.subject.experiment) if path not in found.subject.origins] == []
    assert list(check(found.subject)) == []


def test_a_field_that_nobody_accounts_for_is_reported(tmp_path: Path) -> None:
    subject = compiled(tmp_path, {}).subject
    assert subject is not None
    kept = Provenance()
    for path, origin in subject.origins.items():
        if path != "stages.0.train.steps_per_rollout":
            kept.record(path, origin)
    (found,) = check(subject._replace(origins=kept))
    assert (found.code, found.message) == ("RLC0314", "nobody says where train.steps_per_rollout comes from")
    assert found.rule == "CFG-03"
