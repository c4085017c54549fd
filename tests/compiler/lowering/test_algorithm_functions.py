"""Functions of one's own in the place of parts of an algorithm: found, recorded, and exclusive."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.ir.paths import read
from compiler.ir.rollout import CustomCode
from rlc.catalogue import scan
from tests.support.good_spec import Changes, codes, spec_text

OWN = """def ranked(experience):
    return experience.rewards_N


def weights(gap):
    return gap.mask_T


def evenly(batch):
    return batch.mask_T


def scored(sample):
    return 1.0
"""
ADVANTAGES: Changes = {"algo.advantages": '"own.py:ranked"'}
CORRECTION: Changes = {"loss.mismatch.function": '"own.py:weights"', "loss.old_logprobs": '"recompute"'}
GDPO: Changes = {
    "use": '["//recipes:gdpo"]',
    "reward.name": '"weighted_sum"',
    "reward.terms": '[{ name = "exact" }, { name = "own.py:scored" }]',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("shrink", [False, True])
def test_the_plan_holds_the_digest_of_the_file(folder: Path, shrink: bool) -> None:
    (folder / "spec.toml").write_text(spec_text({**ADVANTAGES, **CORRECTION, "loss.reducer": '"own.py:evenly"'}))
    plan = compile_spec(folder / "spec.toml", scan(), shrink=shrink).plan
    assert plan is not None
    parts = {"algorithm.algo": "ranked", "algorithm.loss": "evenly", "algorithm.loss.mismatch": "weights"}
    for path, function in parts.items():
        code = read(plan.experiment.stages[0], f"{path}.code")
        assert isinstance(code, CustomCode)
        assert (code.path, code.function) == ("own.py", function)
        assert code.sha256 == hashlib.sha256(OWN.encode()).hexdigest()


@pytest.mark.parametrize("recipe", ["grpo", "dapo", "dr_grpo", "rloo", "gspo", "cispo", "sapo", "gdpo"])
def test_every_algorithm_that_compares_within_groups_takes_advantages(folder: Path, recipe: str) -> None:
    changes = GDPO if recipe == "gdpo" else {"use": f'["//recipes:{recipe}"]'}
    assert codes(folder, {**changes, **ADVANTAGES}) == []
    assert codes(folder, {**changes, **ADVANTAGES, "algo.baseline": '"mean"'}) == ["RLC0202"]


@pytest.mark.parametrize(
    ("recipe", "unread"),
    [
        ("remax", {}),
        ("reinforce_plus_plus", {"algo.gamma": "0.9"}),
        ("reinforce_plus_plus", {"algo.group_baseline": "true"}),
        ("ppo", {"algo.length_adaptive": "0.5"}),
    ],
)
def test_so_does_every_other_algorithm_with_rewards(folder: Path, recipe: str, unread: Changes) -> None:
    changes: Changes = {"use": f'["//recipes:{recipe}"]', "run.max_steps": "20"}
    if recipe == "reinforce_plus_plus":
        changes["loss.kl.place"] = '"loss"'
    assert codes(folder, {**changes, **ADVANTAGES}) == []
    assert codes(folder, {**changes, **unread}) == []
    assert codes(folder, {**changes, **ADVANTAGES, **unread}) == (["RLC0202"] if unread else [])


def test_a_lambda_that_only_the_critic_would_read_is_refused_beside_its_own(folder: Path) -> None:
    changes: Changes = {"use": '["//recipes:ppo"]', "run.max_steps": "20", **ADVANTAGES, "algo.lam": "0.9"}
    assert codes(folder, changes) == []
    assert codes(folder, {**changes, "algo.critic_lam": "1.0"}) == ["RLC0355"]


def test_a_reducer_is_found_and_needs_a_batch(folder: Path) -> None:
    assert codes(folder, {"loss.reducer": '"own.py:evenly"'}) == []
    assert codes(folder, {"loss.reducer": '"own.py:weights"'}) == ["RLC0209"]


@pytest.mark.parametrize("beside", ["normalize_std = true", "std_eps = 1e-4", 'group_of_one = "reward"'])
def test_what_compares_within_groups_is_not_read_beside_advantages(folder: Path, beside: str) -> None:
    name, _, value = beside.partition(" = ")
    assert codes(folder, {**ADVANTAGES, f"algo.{name}": value}) == ["RLC0202"]
    assert codes(folder, {f"algo.{name}": value}) == []


@pytest.mark.parametrize("beside", ['bound = "truncate"', 'level = "token"', "high = 3.0", "normalize = true"])
def test_bounds_are_not_read_beside_a_correction(folder: Path, beside: str) -> None:
    name, _, value = beside.partition(" = ")
    assert codes(folder, {**CORRECTION, f"loss.mismatch.{name}": value}) == ["RLC0202"]


def test_advantages_of_gdpo_leave_its_normalisation_unread(folder: Path) -> None:
    assert codes(folder, {**GDPO, **ADVANTAGES, "algo.normalize_batch": "true"}) == ["RLC0202"]


def test_a_correction_needs_the_log_probs_of_both(folder: Path) -> None:
    assert codes(folder, CORRECTION) == []
    assert codes(folder, {**CORRECTION, "loss.old_logprobs": '"rollout"'}) == ["RLC0350"]


def test_a_correction_accounts_for_stale_tokens(folder: Path) -> None:
    stale: Changes = {
        "rollout.buffer.partial": "true",
        "rollout.buffer.oversample": "1.5",
        "rollout.buffer.max_staleness_steps": "4",
    }
    assert codes(folder, {**stale, "loss.old_logprobs": '"recompute"'}) == ["RLC0367"]
    assert codes(folder, {**stale, **CORRECTION}) == []


def test_advantages_of_ones_own_may_judge_a_sample_alone(folder: Path) -> None:
    alone: Changes = {"rollout.samples_per_prompt": "1", "rollout.prompts_per_step": "32"}
    assert codes(folder, alone) == ["RLC0304"]
    assert codes(folder, {**alone, **ADVANTAGES}) == []


@pytest.mark.parametrize(
    ("name", "code"),
    [("own.py:scored", "RLC0209"), ("own.py:rank", "RLC0209"), ("gone.py:x", "RLC0209"), ("x", "RLC0206")],
)
def test_a_name_that_leads_to_no_such_function_is_refused(folder: Path, name: str, code: str) -> None:
    assert codes(folder, {"algo.advantages": f'"{name}"'}) == [code]
    assert codes(folder, {**CORRECTION, "loss.mismatch.function": f'"{name}"'}) == [code]


def test_off_means_that_there_is_none(folder: Path) -> None:
    assert codes(folder, {"algo.advantages": '"off"', "loss.mismatch.function": '"off"'}) == []
