"""A tiny model, batches for it, and the plain way to compute what the trainer computes."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Never

import torch
import torch.nn.functional as F
from torch import Tensor

from compiler.ir.algorithm import Algo, GroupRelativeAlgo
from compiler.ir.loss import KL, ClippedLoss, LikelihoodLoss, Mismatch, Rejection
from compiler.ir.model import LatentAttention, Model, Moe, RopeScaling
from compiler.ir.openness import OFF
from compiler.ir.training import Optim, Packing, Train, TrainEngine
from runtime.engines.architecture import Architecture, architecture
from runtime.engines.train.hf_config import hf_config
from runtime.engines.train.hf_families import hf_family
from runtime.engines.train.hf_model import held_weights
from runtime.engines.train.torch_ import TorchTrainer, TrainerSpec
from stdlib.algorithms import grpo, sft
from stdlib.algorithms._terms import Algorithm
from stdlib.samples import TrainBatch
from tests.support.tiny_model import VOCAB, tiny_model

if TYPE_CHECKING:
    from runtime.engines.train.hf_families import CausalModel

torch.set_num_threads(1)  # tiny products: a second thread only waits, and fights with other tests for the cores


def tiny_families() -> dict[str, Model[Never]]:
    """Return a tiny model of each family that the CPU target knows."""
    scaling = RopeScaling(kind="llama3", factor=4.0, original_max_position_tokens=16)
    balanced = Moe(
        num_experts=6,
        experts_per_token=2,
        expert_size=24,
        shared_expert_size=48,
        num_dense_layers=1,
        score="sigmoid",
        expert_bias=True,
        routed_scaling=2.5,
        num_groups=3,
        groups_per_token=2,
    )
    return {
        "qwen3": tiny_model(),
        "qwen2": tiny_model(family="qwen2", qk_norm="none", qkv_bias=True),
        "llama": tiny_model(family="llama", qk_norm="none", tie_embeddings=False, rope_scaling=scaling),
        "qwen3_moe": tiny_model(family="qwen3_moe", moe=Moe(num_experts=5, experts_per_token=2, expert_size=24)),
        "glm4": tiny_model(
            family="glm4",
            qk_norm="none",
            qkv_bias=True,
            post_norms=True,
            rope_fraction=0.5,
            rope_interleaved=True,
            tie_embeddings=False,
        ),
        "deepseek_v3": tiny_model(
            family="deepseek_v3",
            qk_norm="none",
            num_kv_heads=4,
            head_dim=20,
            rope_interleaved=True,
            rope_scaling=RopeScaling(
                kind="yarn", factor=4.0, original_max_position_tokens=256, mscale=0.8, mscale_all_dim=1.2
            ),
            tie_embeddings=False,
            mla=LatentAttention(q_lora_rank=24, kv_lora_rank=18, qk_nope_dim=12, qk_rope_dim=8, v_head_dim=10),
            moe=balanced,
        ),
        "glm4_moe": tiny_model(family="glm4_moe", qkv_bias=True, rope_fraction=0.5, tie_embeddings=False, moe=balanced),
    }


def tiny_train(**changes: Any) -> Train[Never]:
    facts: dict[str, Any] = {
        "global_batch": 8,
        "packing": Packing(tokens=OFF),
        "vocab_chunk": 16,
        "engine": TrainEngine(name="torch", version=OFF),
    }
    return Train(**{**facts, **changes})


def tiny_optim(**changes: Any) -> Optim[Never]:
    facts: dict[str, Any] = {"lr": 1e-2, "total_steps": 10}
    return Optim(**{**facts, **changes})


def policy_params(**changes: Any) -> grpo.Params[Never]:
    loss: dict[str, Any] = {
        "clip_high": 0.2,
        "constant_tokens": 8,
        "kl": KL(),
        "mismatch": Mismatch(),
        "rejection": Rejection(),
        **changes,
    }
    return grpo.Params(algo=GroupRelativeAlgo(name="grpo"), loss=ClippedLoss(**loss))


def supervised_params(**changes: Any) -> sft.Params[Never]:
    return sft.Params(algo=Algo(name="sft"), loss=LikelihoodLoss(**changes))


def hf_model(model: Model[Never], seed: int = 0, *, facts: Architecture | None = None) -> CausalModel:
    """Return Hugging Face's own model with larger random weights than it would draw, norms and biases included."""
    generator = torch.Generator().manual_seed(seed)
    built: CausalModel = hf_family(model.family).model(hf_config(model, facts or architecture(model)))
    with torch.no_grad():
        for name, tensor in held_weights(built).items():
            noise = torch.randn(tensor.shape, generator=generator)
            is_norm = name.endswith("norm.weight")
            tensor.copy_(1.0 + 0.2 * noise if is_norm else (0.5 if name.endswith(".bias") else 0.15) * noise)
    return built


def tiny_weights(model: Model[Never], seed: int = 0) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in held_weights(hf_model(model, seed)).items()}


def trainer_of(spec: TrainerSpec, algorithm: Algorithm = grpo, *, seed: int = 0) -> TorchTrainer:
    return TorchTrainer(spec, algorithm, tiny_weights(spec.model, seed))


def spec_of(**changes: Any) -> TrainerSpec:
    parts: dict[str, Any] = {
        "model": tiny_model(),
        "train": tiny_train(),
        "optim": tiny_optim(),
        "params": policy_params(),
    }
    return TrainerSpec(**{**parts, **changes})


def batch_of(sequences: Sequence[Sequence[int]], num_prompt: Sequence[int], seed: int = 0) -> TrainBatch:
    """Return a batch whose tokens from `num_prompt[i]` on count, with random advantages and log-probs."""
    generator = torch.Generator().manual_seed(seed)
    mask = [float(p >= n) for tokens, n in zip(sequences, num_prompt, strict=True) for p in range(len(tokens))]
    tokens_T = torch.tensor([t for tokens in sequences for t in tokens])
    mask_T = torch.tensor(mask)
    return TrainBatch(
        tokens_T=tokens_T,
        lengths_N=tuple(len(tokens) for tokens in sequences),
        mask_T=mask_T,
        rollout_logprobs_T=(-3.0 - torch.rand(len(mask), generator=generator)) * mask_T,
        versions_T=torch.where(mask_T > 0, 0, -1),
        advantages_T=torch.randn(len(mask), generator=generator) * mask_T,
    )


def grouped_batch(seed: int = 0, *, lengths: tuple[int, int] = (1, 30)) -> TrainBatch:
    """Return 4 prompts of unequal length with 3 responses of unequal length each."""
    draw = random.Random(seed)
    sequences: list[list[int]] = []
    num_prompt: list[int] = []
    for _ in range(4):
        prompt = [draw.randrange(VOCAB) for _ in range(draw.randint(1, 9))]
        for _ in range(3):
            sequences.append(prompt + [draw.randrange(VOCAB) for _ in range(draw.randint(*lengths))])
            num_prompt.append(len(prompt))
    return batch_of(sequences, num_prompt, seed)


def plain_logprobs(model: CausalModel, batch: TrainBatch, temperature: float = 1.0) -> Tensor:
    """Return [T] log-probs by one unpacked Hugging Face forward pass for each sequence."""
    found: list[Tensor] = []
    for tokens in batch.tokens_T.split(list(batch.lengths_N)):
        logits = model(input_ids=tokens[None]).logits[0, :-1] / temperature
        inside = -F.cross_entropy(logits, tokens[1:], reduction="none")
        found += [inside.new_zeros(1), inside]
    return torch.cat(found)
