"""RLC0415 (CFG-02): what says "auto" in a layout is chosen, so nothing may be computed from it before."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import Changes, codes, compiled
from tests.support.left_out import LEFT_OUT

WRITTEN: Changes = {"model.name": '"//models:qwen3_8b"', "parallel.tp": "2", "rollout.max_prompt_tokens": '"1Ki"'}


@pytest.mark.parametrize("path", ["placement.gpus_per_engine", "parallel.pp", "parallel.vpp"])
def test_a_value_that_is_computed_from_a_choice_is_an_error_with_what_to_write(tmp_path: Path, path: str) -> None:
    changes: Changes = {**WRITTEN, path: '"auto"', "run.max_steps": f'"${{{path} * 10}}"'}
    (found,) = compiled(tmp_path, changes, base=LEFT_OUT).diagnostics
    assert found.code == "RLC0415"
    (way,) = found.help
    assert codes(tmp_path, {**changes, **dict(way.sets)}, base=LEFT_OUT) == []


def test_what_follows_a_choice_may_be_read(tmp_path: Path) -> None:
    changes: Changes = {**WRITTEN, "parallel.dp": '"auto"', "run.max_steps": '"${parallel.dp * 10}"'}
    assert codes(tmp_path, changes, base=LEFT_OUT) == []
