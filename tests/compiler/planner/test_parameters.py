"""The number of parameters, against the library's model of the same facts, made without memory for its weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers.models.qwen3.configuration_qwen3 import Qwen3Config
from transformers.models.qwen3.modeling_qwen3 import Qwen3ForCausalLM

from compiler.planner.parameters import count_parameters
from tests.compiler.planner.test_memory import UNEQUAL
from tests.compiler.rules.good_spec import Changes, compiled

pytestmark = pytest.mark.torch


@pytest.mark.parametrize("tied", ["true", "false"])
@pytest.mark.parametrize("facts", [{}, UNEQUAL])
def test_parameters_are_those_of_the_librarys_model(tmp_path: Path, facts: Changes, tied: str) -> None:
    plan = compiled(tmp_path, {**facts, "model.tie_embeddings": tied}).plan
    assert plan is not None
    model = plan.experiment.model
    config = Qwen3Config(
        vocab_size=model.vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.num_layers,
        num_attention_heads=model.num_heads,
        num_key_value_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        tie_word_embeddings=model.tie_embeddings,
    )
    with torch.device("meta"):
        network = Qwen3ForCausalLM(config)
    assert count_parameters(model) == sum(p.numel() for p in network.parameters())
