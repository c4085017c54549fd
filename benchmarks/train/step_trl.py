"""Times of TRL's training half on the same model, batch shape and threads: forward, backward, clipping and AdamW.

Runs in an environment that has torch, transformers, trl and datasets; the repository has to be on its path.  TRL calls
generation from inside its training step, so generation and scoring are timed apart and taken off.  Responses are
forced to full length and rewarded at random, so that every step has a gradient.  Prints one JSON line.

python -m benchmarks.train.step_trl --steps 20
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen3Config, Qwen3ForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from typing_extensions import override

NUM_PROMPTS, GROUP, PROMPT_TOKENS, RESPONSE_TOKENS = 16, 8, 6, 16
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
ALPHABET = "".join(chr(code) for code in range(ord("0"), ord("0") + 48))
WARMUP_STEPS = 4


class Clock(TrainerCallback):
    """Wall clock of each step without its generation; the optimizer's step is inside, as it is for rlc."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.rollout_s = 0.0
        self._start = 0.0

    @override
    def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Start the clock."""
        self.rollout_s, self._start = 0.0, time.perf_counter()

    @override
    def on_step_end(self, *_args: Any, **_kwargs: Any) -> None:
        """Stop it."""
        self.times.append(time.perf_counter() - self._start - self.rollout_s)


class Peer(GRPOTrainer):
    """GRPOTrainer that tells a clock how long rollout and scoring took."""

    clock: Clock

    @override
    def _generate_and_score_completions(self, inputs: Any) -> Any:
        start = time.perf_counter()
        out = super()._generate_and_score_completions(inputs)
        self.clock.rollout_s += time.perf_counter() - start
        return out


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer = _peer(Path(folder), options.steps + WARMUP_STEPS, clock)
        trainer.clock = clock
        trainer.train()
    times = clock.times[WARMUP_STEPS:]
    report = {"train_s": statistics.median(times), "best_s": min(times)}
    sys.stdout.write(json.dumps({"engine": "trl", **report, "torch": torch.__version__}) + "\n")


def _peer(folder: Path, steps: int, clock: Clock) -> Peer:
    draw = random.Random(0)
    prompts = ["".join(draw.choices(ALPHABET, k=PROMPT_TOKENS)) for _ in range(4096)]
    config = GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_steps=steps,
        per_device_train_batch_size=NUM_PROMPTS * GROUP,
        num_generations=GROUP,
        max_completion_length=RESPONSE_TOKENS,
        generation_kwargs={"min_new_tokens": RESPONSE_TOKENS},
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        beta=0.0,
        logging_steps=steps,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        log_level="error",
    )
    trainer = Peer(
        model=_model(),
        reward_funcs=lambda completions, **_: [draw.random() for _ in completions],
        args=config,
        train_dataset=Dataset.from_list([{"prompt": prompt} for prompt in prompts]),
        processing_class=_tokenizer(),
        callbacks=[clock],
    )
    trainer.remove_callback(PrinterCallback)
    return trainer


def _model() -> Qwen3ForCausalLM:
    torch.manual_seed(0)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(SPECIAL) + len(ALPHABET),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
        )
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    ids = {token: i for i, token in enumerate([*SPECIAL, *ALPHABET])}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="<unk>",
        padding_side="left",
    )


if __name__ == "__main__":
    main()
