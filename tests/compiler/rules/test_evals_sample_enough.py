"""RLC0370 (EVAL-01): subsets of k responses need k responses."""

from __future__ import annotations

from pathlib import Path

from compiler.ir.data import Eval
from tests.support.good_spec import Changes, codes, compiled

SETS: Changes = {"eval.sets": '[{ name = "held", path = "h.jsonl" }]'}


def test_as_many_as_are_sampled_are_enough_and_one_more_is_not(tmp_path: Path) -> None:
    of_eight = {**SETS, "eval.samples_per_prompt": "8"}
    assert codes(tmp_path, {**of_eight, "eval.k": "[1, 8]"}) == []
    assert codes(tmp_path, {**of_eight, "eval.k": "[1, 9]"}) == ["RLC0370"]
    assert codes(tmp_path, {**of_eight, "eval.k": "[0]"}) == ["RLC0370"]


def test_derived_sizes_follow_the_samples_of_a_set(tmp_path: Path) -> None:
    sets = '[{ name = "held", path = "h.jsonl", samples_per_prompt = 12 }, { name = "one", path = "h.jsonl" }]'
    found = compiled(tmp_path, {"eval.sets": sets}).plan
    assert found is not None
    settings = found.experiment.stages[0].eval
    assert isinstance(settings, Eval)
    assert [measured.k for measured in settings.sets] == [(2, 4, 8), ()]


def test_sizes_that_are_said_hold_for_every_set(tmp_path: Path) -> None:
    sets = '[{ name = "held", path = "h.jsonl", samples_per_prompt = 2 }, { name = "more", path = "h.jsonl" }]'
    said: Changes = {"eval.sets": sets, "eval.samples_per_prompt": "4", "eval.k": "[4]"}
    assert codes(tmp_path, said) == ["RLC0370"]
    (found,) = compiled(tmp_path, said).diagnostics
    assert dict(found.help[0].sets) == {"eval.sets[0].samples_per_prompt": "4"}
