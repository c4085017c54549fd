"""The hand-written loop, against the model whose weights it reads."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from benchmarks.rollout.hand_loop import HandLoop

pytestmark = pytest.mark.torch


def test_its_log_probs_are_those_of_hugging_face_for_the_same_tokens() -> None:
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=11,
            hidden_size=16,
            intermediate_size=24,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=4,
            max_position_embeddings=32,
            initializer_range=0.5,
        )
    ).eval()
    prompt_BP = torch.tensor([[1, 2, 3], [4, 5, 6]])
    token_BN, logprob_BN = HandLoop(model, num_rows=2, num_positions=8).generate(prompt_BP, num_new=5)
    sequence_BT = torch.cat([prompt_BP, token_BN], dim=1)
    with torch.no_grad():
        expected_BTV = model(input_ids=sequence_BT).logits.log_softmax(-1)
    expected_BN = expected_BTV[:, 2:-1].gather(2, token_BN[..., None])[..., 0]
    torch.testing.assert_close(logprob_BN, expected_BN, rtol=0.0, atol=1e-5)
