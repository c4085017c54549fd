"""`--shrink` of every model of the library: small, consistent, and of the same kinds of layers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.frontend.roots import library_names
from compiler.ir.experiment import Experiment
from compiler.ir.model import Model
from compiler.ir.openness import Auto, Off
from compiler.ir.paths import replaced
from compiler.ir.subject import Subject
from compiler.lowering.shrink_ledger import Ledger
from compiler.lowering.shrink_model import shrunk_model
from compiler.planner.parameters import parameters_of
from compiler.rules import (
    attention_holds_together,
    experts_can_be_routed,
    families_have_their_facts,
    heads_are_shared_evenly,
    samples_fit_the_context,
    tokens_fit_the_vocabulary,
)
from rlc.catalogue import scan
from tests.compiler.planner.layer_by_layer import is_full_attention, picks_tokens
from tests.compiler.rules.good_spec import SFT, Changes, compiled

NAMES = library_names("models", scan().stdlib)
RULES = (
    attention_holds_together,
    experts_can_be_routed,
    families_have_their_facts,
    heads_are_shared_evenly,
    samples_fit_the_context,
    tokens_fit_the_vocabulary,
)


def subject_of(name: str, folder: Path, changes: Changes | None = None) -> Subject:
    """Return a supervised experiment on a model, whether a machine can run it or not."""
    named = {"model.name": f'"//models:{name}"', "model.weights": '"random"', **(changes or {})}
    subject = compiled(folder, named, base=SFT).subject
    assert subject is not None
    return subject


def shrunk(subject: Subject) -> Subject:
    ledger = Ledger(subject)
    shrunk_model(ledger)
    experiment: Experiment[Auto] = subject.experiment
    for change in ledger.changes.values():
        experiment = replaced(experiment, change.path, change.after)
    return subject._replace(experiment=experiment)


def kinds_of_layers(model: Model[Auto]) -> set[tuple[bool, bool, bool]]:
    dense = model.num_layers if isinstance(model.moe, Off) else model.moe.num_dense_layers
    return {
        (
            is_full_attention(model, layer),
            isinstance(model.indexer, Off) or picks_tokens(model.indexer, layer),
            layer < dense,
        )
        for layer in range(model.num_layers)
    }


def faults(subject: Subject) -> Iterator[Diagnostic]:
    for rule in RULES:
        yield from rule.check(subject)


@pytest.mark.parametrize("name", NAMES)
def test_a_shrunk_model_is_small_and_its_facts_go_together(name: str, tmp_path: Path) -> None:
    before = subject_of(name, tmp_path)
    after = shrunk(before)
    assert parameters_of(after.experiment.model).total < 500_000
    assert [d.message for d in faults(after)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_shrunk_model_has_every_way_in_which_layers_mix_and_feed_forward(name: str, tmp_path: Path) -> None:
    subject = subject_of(name, tmp_path)
    whole, small = subject.experiment.model, shrunk(subject).experiment.model
    for part in range(3):
        assert {kind[part] for kind in kinds_of_layers(small)} == {kind[part] for kind in kinds_of_layers(whole)}
    tables = ("moe", "mla", "linear_attention", "indexer", "rope_scaling")
    assert [isinstance(small.__dict__[t], Off) for t in tables] == [isinstance(whole.__dict__[t], Off) for t in tables]


def test_groups_of_experts_and_the_ratio_of_delta_net_heads_are_kept(tmp_path: Path) -> None:
    moe = shrunk(subject_of("deepseek_v3", tmp_path)).experiment.model.moe
    assert not isinstance(moe, Off)
    assert (moe.num_experts, moe.experts_per_token, moe.num_groups, moe.groups_per_token) == (4, 2, 2, 1)
    linear = shrunk(subject_of("qwen3_next_80b_a3b", tmp_path)).experiment.model.linear_attention
    assert not isinstance(linear, Off)
    assert (linear.num_key_heads, linear.num_value_heads, linear.full_attention_interval) == (2, 4, 2)


def test_an_odd_number_of_experts_has_one_group(tmp_path: Path) -> None:
    text = "{ num_experts = 3, experts_per_token = 3, expert_size = 64, num_groups = 3, groups_per_token = 3, "
    text += 'score = "sigmoid", expert_bias = true }'
    changes: Changes = {"model.family": '"glm4_moe"', "model.moe": text}
    moe = shrunk(subject_of("tiny_qwen3", tmp_path, changes)).experiment.model.moe
    assert not isinstance(moe, Off)
    assert (moe.num_experts, moe.experts_per_token, moe.num_groups, moe.groups_per_token) == (3, 2, 1, 1)
