"""Which group a change of a plan belongs to."""

from __future__ import annotations

from compiler.emit._change_groups import PREFIXES, group_of
from compiler.ir.spec_tables import spec_keys
from rlc.catalogue import scan


def test_a_field_that_nobody_named_is_meaning() -> None:
    assert group_of("stages.main.loss.clip_high") == "meaning"
    assert group_of("model.rope_base") == "meaning"


def test_the_longest_path_decides() -> None:
    assert group_of("stages.grpo.train.global_batch") == "meaning"
    assert group_of("stages.grpo.train.engine.name") == "placement"
    assert group_of("stages.grpo.rollout.concurrency") == "cost"


def test_a_name_is_cosmetic_and_that_of_a_model_is_not() -> None:
    assert group_of("name") == "cosmetic"
    assert group_of("model.name") == "meaning"


def test_every_named_path_is_one_of_the_schema() -> None:
    known = spec_keys(scan())
    assert [path for path in PREFIXES if path not in known] == []
