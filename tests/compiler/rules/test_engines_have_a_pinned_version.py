"""RLC0513 (ENV-04): versions that a spec names, against those that the target pins."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.ir.paths import read
from rlc.catalogue import load_target, scan
from tests.compiler.rules.good_spec import GPU, GRPO, Changes, compiled

PINNED = load_target("cuda").version_of("sglang") or ""


def told(folder: Path, changes: Changes, base: dict[str, str] = GPU) -> list[tuple[str, str]]:
    return [(d.code, d.severity) for d in compiled(folder, changes, base=base).diagnostics]


def test_the_pinned_version_may_be_written_down(tmp_path: Path) -> None:
    assert told(tmp_path, {"rollout.engine.version": f'"{PINNED}"'}) == []


def test_another_one_is_a_matter_of_judgement_and_stands_in_the_plan(tmp_path: Path) -> None:
    older: Changes = {"rollout.engine.version": '"0.5.9"'}
    assert told(tmp_path, older) == [("RLC0513", "warning")]
    plan = compiled(tmp_path, older, base=GPU).plan
    assert plan is not None
    assert read(plan.experiment, "stages.0.rollout.engine.version") == "0.5.9"
    assert told(tmp_path, {**older, "allow": '[{ rule = "ENV-04", why = "our image" }]'}) == []


@pytest.mark.parametrize("text", ["latest", "", "off", "v0.5"])
def test_what_is_no_version_is_refused(tmp_path: Path, text: str) -> None:
    assert told(tmp_path, {"rollout.engine.version": f'"{text}"'}) == [("RLC0513", "error")]


def test_the_trainers_version_is_held_against_its_own_pin(tmp_path: Path) -> None:
    assert told(tmp_path, {"train.engine.version": '"0.11.0"'}) == [("RLC0513", "warning")]
    torch: Changes = {"train.engine.name": '"fsdp2"', "train.engine.version": '"2.9"', "parallel.dp": "8"}
    assert told(tmp_path, torch) == [("RLC0513", "error")]


def test_an_engine_of_rlcs_own_has_none(tmp_path: Path) -> None:
    assert told(tmp_path, {"rollout.engine.version": '"1.0"'}, GRPO) == [("RLC0513", "error")]
    assert told(tmp_path, {"rollout.engine.version": '"off"'}, GRPO) == []


def test_a_small_copy_for_a_cpu_lets_the_version_go(tmp_path: Path) -> None:
    compiled(tmp_path, {"rollout.engine.version": f'"{PINNED}"'}, base=GPU)
    small = compile_spec(tmp_path / "spec.toml", scan(), shrink=True)
    assert small.plan is not None
