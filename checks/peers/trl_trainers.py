"""Small trainers of TRL, whole and untouched but for where the log-probs of a policy come from."""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

_WORDS = ("<pad>", "<eos>", *(f"w{i}" for i in range(30)))
_COMMON: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "report_to": "none",
    "disable_tqdm": True,
    "save_strategy": "no",
    "log_level": "error",
    "dataloader_pin_memory": False,
}


class GivenLogprobs(GRPOTrainer):
    """GRPOTrainer whose loss is taken at log-probs that somebody else says."""

    given_BL: Tensor

    def _get_per_token_logps_and_entropies(self, *_args: Any, **_kwargs: Any) -> Any:
        return self.given_BL, torch.zeros_like(self.given_BL), None


class GivenRewards:
    """A reward function that answers with what it was told."""

    __name__ = "given"

    def __init__(self) -> None:
        self.rewards: list[float] = []

    def __call__(self, *_args: Any, **_kwargs: Any) -> list[float]:
        return self.rewards


def grpo_at(**settings: Any) -> GivenLogprobs:
    """Return a trainer to ask for losses."""
    trainer = GivenLogprobs(
        model=_model(), reward_funcs=GivenRewards(), args=_config(GRPOConfig, **settings), **_data()
    )
    return _ready(trainer)


def grpo(rewards: GivenRewards | list[GivenRewards], **settings: Any) -> GRPOTrainer:
    """Return a trainer to ask for advantages."""
    return _ready(GRPOTrainer(model=_model(), reward_funcs=rewards, args=_config(GRPOConfig, **settings), **_data()))


def rloo(rewards: GivenRewards, **settings: Any) -> RLOOTrainer:
    """Return a trainer to ask for advantages."""
    arguments = _config(RLOOConfig, beta=0.0, **settings)
    return _ready(RLOOTrainer(model=_model(), reward_funcs=rewards, args=arguments, **_data()))


def advantages(trainer: Any, num_prompts: int) -> Tensor:
    """Return [N] what the trainer makes of its rewards: it really samples, and the responses do not matter."""
    rows = [{"prompt": f"w{i} w1"} for i in range(num_prompts) for _ in range(trainer.num_generations)]
    return trainer._generate_and_score_completions(rows)["advantages"].double()


def dpo(**settings: Any) -> DPOTrainer:
    """Return a trainer of a model against another as reference."""
    rows = [{"prompt": "w1 w2", "chosen": " w3 w4", "rejected": " w5"}] * 4
    with tempfile.TemporaryDirectory() as folder:
        config = DPOConfig(output_dir=folder, **_COMMON, **settings)
        data = {"train_dataset": Dataset.from_list(rows), "processing_class": _tokenizer()}
        return DPOTrainer(model=_model(), ref_model=_model(seed=1), args=config, **data)


def _ready(trainer: Any) -> Any:
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def _config(kind: Any, **settings: Any) -> Any:
    sizes = {"per_device_train_batch_size": 12, "num_generations": 4, "max_completion_length": 3}
    with tempfile.TemporaryDirectory() as folder:
        return kind(output_dir=folder, **{**_COMMON, **sizes, **settings})


def _data() -> dict[str, Any]:
    rows = [{"prompt": "w1 w2"}] * 4
    return {"train_dataset": Dataset.from_list(rows), "processing_class": _tokenizer()}


def _model(seed: int = 0) -> Qwen3ForCausalLM:
    torch.manual_seed(seed)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "head_dim": 8}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    special = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": None}
    return Qwen3ForCausalLM(
        Qwen3Config(vocab_size=len(_WORDS), max_position_embeddings=64, **sizes, **heads, **special)
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(_WORDS)}, unk_token="<pad>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", padding_side="left")
