"""RLC0543: no engine is one half of a pair."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import GPU, Changes, codes

CONFIG = '{"kv_connector":"NixlConnector","kv_role":"ROLE"}'
VLLM: Changes = {"rollout.engine.name": '"vllm"'}


@pytest.mark.parametrize("role", ["kv_producer", "kv_consumer"])
def test_a_half_of_vllm_is_refused(tmp_path: Path, role: str) -> None:
    given = f"'{CONFIG.replace('ROLE', role)}'"
    assert codes(tmp_path, {**VLLM, "rollout.engine.vllm.kv_transfer_config": given}, base=GPU) == ["RLC0543"]


def test_whole_engines_pass(tmp_path: Path) -> None:
    both = f"'{CONFIG.replace('ROLE', 'kv_both')}'"
    assert codes(tmp_path, {**VLLM, "rollout.engine.vllm.kv_transfer_config": both}, base=GPU) == []
