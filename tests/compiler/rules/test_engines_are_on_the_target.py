"""RLC0502 (PAR-04, one device): engines and architectures are those that the target lists."""

from __future__ import annotations

from pathlib import Path

from compiler.rules.engines_are_on_the_target import check
from tests.compiler.rules.good_spec import codes, compiled


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


def test_nothing_is_said_of_engines_while_the_target_is_unknown(tmp_path: Path) -> None:
    assert codes(tmp_path, {"cluster.target": '"cuda"', "rollout.engine.name": '"sglang"'}) == ["RLC0206"]
