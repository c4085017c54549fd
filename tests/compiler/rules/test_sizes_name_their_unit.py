"""RLC0302 (BATCH-02): names of other tools that do not say what they count."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.spec_tables import spec_keys
from compiler.rules._ambiguous_sizes import MEANINGS
from rlc.catalogue import scan
from tests.support.good_spec import codes


@pytest.mark.parametrize("name", MEANINGS)
def test_every_field_that_a_vague_name_may_mean_is_one_that_a_spec_may_set(name: str) -> None:
    known = spec_keys(scan())
    assert all(path in known and not known[path].is_derived for path, _ in MEANINGS[name])


@pytest.mark.parametrize(
    "path", ["train.batch_size", "rollout.n", "rollout.group_size", "rollout.max_tokens", "batch_size"]
)
def test_a_size_without_a_unit_is_refused_wherever_it_stands(tmp_path: Path, path: str) -> None:
    assert codes(tmp_path, {path: "32"}) == ["RLC0302"]


def test_a_size_with_its_unit_is_read(tmp_path: Path) -> None:
    assert codes(tmp_path, {"train.global_batch": "32", "rollout.samples_per_prompt": "8"}) == []
