"""RLC0201 (CFG-01): a key that no table has is refused, with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.good_spec import codes, compiled


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("rollout.prompts_per_stp", "did you mean `rollout.prompts_per_step`?"),
        ("optim.LR", "did you mean `optim.lr`?"),
        ("optim.warm_up_steps", "did you mean `optim.warmup_steps`?"),
        ("optim.clip_low", "`clip_low` exists in [loss]"),
        ("optim.kl_coef", "did you mean `loss.kl.coef`?"),
        ("optm.lr", "did you mean `optim`?"),
        ("train.engine.sglang.mem_fraction", "`sglang` exists in [rollout.engine]"),
        ("train.engine.deepspeed.stage", "[train.engine] may hold: fsdp2, megatron, name, version"),
    ],
)
def test_the_nearest_name_is_offered(tmp_path: Path, path: str, advice: str) -> None:
    (found,) = compiled(tmp_path, {path: "1"}).diagnostics
    assert (found.code, found.help[0].text) == ("RLC0201", advice)


def test_known_keys_are_read(tmp_path: Path) -> None:
    assert codes(tmp_path, {"optim.lr": "1e-5", "log.tensorboard": "false", "schedule.mode": '"sync"'}) == []


def test_what_the_compiler_computes_cannot_be_set(tmp_path: Path) -> None:
    assert codes(tmp_path, {"placement.roles": "[]"}) == ["RLC0201"]
