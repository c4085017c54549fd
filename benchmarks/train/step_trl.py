"""Steps of TRL's GRPOTrainer, each when asked, on the same model, prompts, batch shape and reward as rlc's.

Runs in an environment that has torch, transformers, trl and datasets, with the repository on its path, and imports
nothing of rlc.  Responses are forced to full length.  A step lasts from when it is asked for until TRL ends it;
generation with tokenizing and scoring is timed apart, and the rest is training.

python -m benchmarks.train.step_trl --threads 2        # then a line on standard input for each step
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, Qwen3Config, Qwen3ForCausalLM, TrainerCallback
from trl import GRPOConfig, GRPOTrainer
from typing_extensions import override

from benchmarks.train.share_of_digits import share_of_digits
from benchmarks.train.turns import Turns

NUM_PROMPTS, GROUP, RESPONSE_TOKENS = 16, 8, 16
PROMPTS = Path(__file__).with_name("prompts.jsonl")
SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
ALPHABET = "0123456789+-*=() abcdefghijklmnopqrstuvwxyz?.,:\n"
MORE_STEPS_THAN_ANYONE_ASKS_FOR = 1_000_000


class Clock(TrainerCallback):
    """Waits for each turn, and times the step that follows."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._begun = self._cpu_begun = 0.0
        self.rollout_s, self.tokens = 0.0, 0

    def begin(self) -> None:
        """Wait for the next turn and start the clock."""
        self._turns.wait()
        self.rollout_s, self.tokens = 0.0, 0
        self._begun, self._cpu_begun = time.perf_counter(), time.process_time()

    @override
    def on_train_begin(self, *_args: Any, **_kwargs: Any) -> None:
        """Wait for the first turn."""
        self.begin()

    @override
    def on_log(self, *_args: Any, **_kwargs: Any) -> None:
        """Report a step, which ends with its row of metrics, and wait for the next turn."""
        step_s = time.perf_counter() - self._begun
        halves = {"rollout_s": self.rollout_s, "train_s": step_s - self.rollout_s}
        cpu_s = time.process_time() - self._cpu_begun
        self._turns.reply({"step_s": step_s, "cpu_s": cpu_s, **halves, "tokens": self.tokens})
        self.begin()


class Peer(GRPOTrainer):
    """GRPOTrainer that tells a clock how long rollout and scoring took, and how many tokens came of it."""

    clock: Clock

    def _generate_and_score_completions(self, inputs: Any) -> Any:
        start = time.perf_counter()
        out = super()._generate_and_score_completions(inputs)
        self.clock.rollout_s += time.perf_counter() - start
        self.clock.tokens += int(out["completion_mask"].sum())
        return out


def main() -> None:
    """Take steps."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = Clock(Turns({name: version(name) for name in ("torch", "transformers", "trl")}))
    with tempfile.TemporaryDirectory() as folder:
        trainer = _peer(Path(folder), clock)
        trainer.clock = clock
        trainer.train()


def _peer(folder: Path, clock: Clock) -> Peer:
    rows = [json.loads(line) for line in PROMPTS.read_text(encoding="utf-8").splitlines()]
    config = GRPOConfig(
        output_dir=str(folder),
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        max_steps=MORE_STEPS_THAN_ANYONE_ASKS_FOR,
        per_device_train_batch_size=NUM_PROMPTS * GROUP,
        num_generations=GROUP,
        max_completion_length=RESPONSE_TOKENS,
        generation_kwargs={"min_new_tokens": RESPONSE_TOKENS},
        temperature=1.0,
        epsilon_high=0.28,
        learning_rate=1e-5,
        lr_scheduler_type="constant",
        beta=0.0,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
        log_level="error",
    )
    trainer = Peer(
        model=_model(),
        reward_funcs=lambda completions, **_: [share_of_digits(text) for text in completions],
        args=config,
        train_dataset=Dataset.from_list([{"prompt": row["input"]} for row in rows]),
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
