"""RLC0502 (PAR-04, one device): engines and architectures are those that the target lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.ir.model import Model
from compiler.rules.engines_are_on_the_target import check
from rlc.catalogue import scan
from tests.support.good_spec import SFT, Changes, codes, compiled

EXPERTS = {
    "model.family": '"qwen3_moe"',
    "model.moe.num_experts": "8",
    "model.moe.experts_per_token": "2",
    "model.moe.expert_size": "32",
}


def test_an_engine_of_the_target_is_fine_and_another_is_not(tmp_path: Path) -> None:
    assert codes(tmp_path, {"rollout.engine.name": '"native"', "train.engine.name": '"torch"'}) == []
    assert codes(tmp_path, {"rollout.engine.name": '"torch"'}) == ["RLC0502"]
    assert codes(tmp_path, {"train.engine.name": '"native"'}) == ["RLC0502"]


def test_an_architecture_that_the_target_does_not_know_is_refused(tmp_path: Path) -> None:
    subject = compiled(tmp_path, {}).subject
    assert subject is not None
    target = subject.catalogue.load_target("cpu")._replace(families=("other",))
    catalogue = subject.catalogue._replace(load_target=lambda _: target)
    (found,) = check(subject._replace(catalogue=catalogue))
    assert found.message == "the engines of target cpu do not know the architecture qwen3"


@pytest.mark.parametrize(
    ("facts", "has"),
    [
        ({"model.moe.shared_expert_gate": "true"}, "model.moe.shared_expert_gate = true"),
        ({"model.qk_norm": '"whole"'}, 'model.qk_norm = "whole"'),
    ],
)
def test_what_the_engines_of_a_cpu_do_not_compute_is_refused(tmp_path: Path, facts: Changes, has: str) -> None:
    assert codes(tmp_path, dict(EXPERTS)) == []
    found = [d.message for d in compiled(tmp_path, {**EXPERTS, **facts}).diagnostics if d.code == "RLC0502"]
    assert found == [f"the engines of target cpu do not compute {has}"]


def test_facts_of_a_target_are_those_of_the_schema() -> None:
    target = scan().load_target("cpu")
    assert target.facts
    for path, _ in target.facts:
        name, _, key = path.partition(".")
        assert not key or key in Model.fields()[name].kind.records[0].fields()


def test_nothing_is_said_of_engines_while_the_target_is_unknown(tmp_path: Path) -> None:
    assert codes(tmp_path, {"cluster.target": '"tpu"', "rollout.engine.name": '"sglang"'}) == ["RLC0206"]


def test_a_reward_model_that_transformers_could_not_read_is_refused(tmp_path: Path) -> None:
    experts = '{ num_experts = 4, experts_per_token = 2, expert_size = 32, shared_expert_size = 32, score = "sigmoid", '
    facts: Changes = {"model.family": '"glm4_moe"', "model.moe": experts + "expert_bias = true }"}
    assert codes(tmp_path, facts) == []
    scored: Changes = {"use": '["//recipes:reward_model_bt"]'}
    assert codes(tmp_path, scored, base=SFT) == []
    assert codes(tmp_path, {**scored, **facts}, base=SFT) == ["RLC0502"]
