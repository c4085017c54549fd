"""Layers counted at once, against the same model one layer after the other; and numbers of layers that nobody has."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.compile import compile_spec
from compiler.ir.model import Model, SparseIndexer
from compiler.ir.openness import OFF, Off
from compiler.planner.memory.kv_cache import kv_bytes_per_token
from compiler.planner.parameters import full_attention_layers, parameters_of, picking_layers
from rlc.catalogue import scan
from tests.compiler.planner.layer_by_layer import is_full_attention, picks_tokens

EXPERIMENT = Path(__file__).parents[3] / "experiments" / "quickstart.toml"


@cache
def model(name: str) -> Model[object]:
    overrides = (f"model.name=//models:{name}", "model.weights=random")
    subject = compile_spec(EXPERIMENT, scan(), overrides=overrides).subject
    assert subject is not None
    return subject.experiment.model


def with_layers(number: int, interval: int, leading: int, every: int) -> tuple[Model[object], SparseIndexer]:
    """A model with an indexer; an interval of 1 means that every layer has full attention."""
    linear, whole = model("qwen3_next_80b_a3b").linear_attention, model("glm5")
    assert not isinstance(linear, Off)
    assert not isinstance(whole.indexer, Off)
    indexer = whole.indexer.replacing(leading_layers=leading, pick_interval=every)
    mixing = OFF if interval == 1 else linear.replacing(full_attention_interval=interval)
    return whole.replacing(num_layers=number, linear_attention=mixing, indexer=indexer), indexer


@given(number=st.integers(1, 40), interval=st.integers(1, 7), leading=st.integers(1, 44), every=st.integers(1, 7))
def test_layers_counted_at_once_are_those_counted_one_by_one(
    number: int, interval: int, leading: int, every: int
) -> None:
    found, indexer = with_layers(number, interval, leading, every)
    full = [at for at in range(number) if is_full_attention(found, at)]
    assert full_attention_layers(found) == len(full)
    assert picking_layers(found, indexer) == sum(picks_tokens(indexer, at) for at in full)


@pytest.mark.parametrize("interval", [1, 4])
def test_a_number_of_layers_that_nobody_has_is_counted_like_any_other(interval: int) -> None:
    many, _ = with_layers(2**62, interval, 3, 4)
    few, _ = with_layers(2**6, interval, 3, 4)
    assert parameters_of(many).total > 2**50 * parameters_of(few).total
    assert kv_bytes_per_token(many) > 2**50 * kv_bytes_per_token(few)
