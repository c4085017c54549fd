"""The training step that is measured: one GRPO batch of a small Qwen3, given as plain numbers."""

from __future__ import annotations

import random
from typing import Never

import torch
from transformers import Qwen3ForCausalLM

from compiler.ir.algorithm import KL, GroupRelativeAlgo, PolicyLoss
from compiler.ir.model import Model, Tokenizer
from compiler.ir.openness import OFF
from compiler.ir.training import Optim, Packing, Train, TrainEngine
from runtime.engines.train.hf_config import hf_config
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from stdlib.algorithms import grpo
from stdlib.samples import TrainBatch

NUM_PROMPTS, GROUP, PROMPT_TOKENS, RESPONSE_TOKENS = 16, 8, 6, 16
FIRST_TEXT_TOKEN = 4


def small_model() -> Model[Never]:
    """Return the facts of the model: 0.8 million parameters."""
    return Model(
        weights="random",
        family="qwen3",
        num_layers=4,
        hidden_size=128,
        intermediate_size=384,
        num_heads=4,
        num_kv_heads=2,
        head_dim=32,
        vocab_size=52,
        max_position_tokens=512,
        rope_base=10000.0,
        norm_eps=1e-6,
        tie_embeddings=True,
        tokenizer=Tokenizer(),
    )


def make_trainer() -> TorchTrainer:
    """Return a trainer of the small model with random weights; the whole batch is one micro-batch."""
    torch.manual_seed(0)
    model = small_model()
    weights = {name: p.detach() for name, p in Qwen3ForCausalLM(hf_config(model)).named_parameters()}
    spec = TrainerSpec(
        model=model,
        train=Train(
            global_batch=NUM_PROMPTS * GROUP,
            packing=Packing(tokens=OFF),
            vocab_chunk=4096,
            engine=TrainEngine(name="torch"),
        ),
        optim=Optim(lr=1e-5, total_steps=1_000_000),
        params=grpo.Params(algo=GroupRelativeAlgo(name="grpo"), loss=PolicyLoss(clip_high=0.2, kl=KL())),
    )
    return TorchTrainer(spec, grpo, weights)


def make_batch(seed: int, *, share_prompts: bool = True) -> TrainBatch:
    """Return a batch of full-length responses; without `share_prompts` every sample has a prompt of its own."""
    draw = random.Random(seed)
    prompts = [_tokens(draw, PROMPT_TOKENS) for _ in range(NUM_PROMPTS)]
    tokens: list[int] = []
    for i in range(NUM_PROMPTS * GROUP):
        prompt = prompts[i // GROUP] if share_prompts else _tokens(draw, PROMPT_TOKENS)
        tokens += prompt + _tokens(draw, RESPONSE_TOKENS)
    count = NUM_PROMPTS * GROUP
    mask_T = torch.tensor([0.0] * PROMPT_TOKENS + [1.0] * RESPONSE_TOKENS).repeat(count)
    advantages_N = torch.randn(count, generator=torch.Generator().manual_seed(seed))
    return TrainBatch(
        tokens_T=torch.tensor(tokens),
        lengths_N=(PROMPT_TOKENS + RESPONSE_TOKENS,) * count,
        mask_T=mask_T,
        rollout_logprobs_T=-4.0 * mask_T,
        versions_T=torch.where(mask_T > 0, 0, -1),
        advantages_T=advantages_N.repeat_interleave(PROMPT_TOKENS + RESPONSE_TOKENS) * mask_T,
    )


def _tokens(draw: random.Random, count: int) -> list[int]:
    return [draw.randrange(FIRST_TEXT_TOKEN, 52) for _ in range(count)]
