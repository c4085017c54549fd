"""RLC0375: the native engine's cache holds one longest sequence, and its limits are its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.openness import Off
from tests.support.good_spec import GPU, Changes, codes, compiled


@pytest.mark.parametrize(("tokens", "expected"), [("79", ["RLC0375"]), ("80", []), ('"64Ki"', [])])
def test_a_cache_holds_one_longest_sequence(tmp_path: Path, tokens: str, expected: list[str]) -> None:
    changes: Changes = {"rollout.max_context_tokens": "80", "rollout.engine.cache_tokens": tokens}
    assert codes(tmp_path, changes) == expected


def test_a_cache_holds_all_sequences_at_their_longest_unless_it_is_set(tmp_path: Path) -> None:
    plan = compiled(tmp_path, {"rollout.concurrency": "7", "rollout.max_context_tokens": "80"}).plan
    assert plan is not None
    (stage,) = plan.experiment.stages
    assert not isinstance(stage.rollout, Off)
    assert stage.rollout.engine.cache_tokens == 7 * 80


def test_a_mode_of_the_native_engine_is_its_own(tmp_path: Path) -> None:
    assert codes(tmp_path, {"rollout.engine.deterministic": "true"}) == []
    assert codes(tmp_path, {"rollout.engine.deterministic": "true"}, base=GPU) == ["RLC0375"]
    assert codes(tmp_path, {"rollout.engine.deterministic": "false"}, base=GPU) == []


@pytest.mark.parametrize("name", ["cache_tokens", "prefill_tokens"])
def test_engines_on_gpus_have_limits_of_their_own(tmp_path: Path, name: str) -> None:
    assert codes(tmp_path, {f"rollout.engine.{name}": "4096"}, base=GPU) == ["RLC0375"]
    assert codes(tmp_path, {f"rollout.engine.{name}": '"off"'}, base=GPU) == []
