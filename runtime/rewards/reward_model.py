"""The reward `reward_model`: a sequence-classification model, loaded once, asked about many samples at a time.

The samples of one group are judged together, in the order of their lengths and as many at once as the number of tokens
lets, padding included; padding is masked and stands behind, or in front where the tokenizer says so.  Groups are not
mixed: which of them wait at the same moment depends on the clock, and rounding would make a run depend on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
from typing_extensions import override

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.reward_settings import RewardModel
from runtime.data.demonstrations import ended
from runtime.rewards.border import RewardResultError
from runtime.rewards.failures import JudgementError
from runtime.rewards.numbers import as_number
from runtime.rewards.sample_term import SampleTerm, where
from runtime.rewards.threads import in_thread
from runtime.weights.huggingface import SCORED_AT
from stdlib.rewards.reward_model import question
from stdlib.samples import Sample

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class _Waiting(NamedTuple):
    group: tuple[int, int, int]
    tokens: tuple[int, ...]
    answer: asyncio.Future[float]


def open_term(settings: RewardModel, *, root: Path) -> RewardModelTerm:
    """Return the term; the path of the model is relative to `root`.  Raises: SpecError RLC0684 if it cannot be read."""
    return RewardModelTerm(settings, root / settings.path)


def check(settings: RewardModel, *, root: Path) -> None:
    """Look whether the files are there, without reading weights.  Raises: SpecError RLC0684."""
    _check_files(root / settings.path, settings)


class RewardModelTerm(SampleTerm):
    """Judges samples by a model."""

    def __init__(self, settings: RewardModel, directory: Path) -> None:
        self._settings = settings
        self._tokenizer, self._model = _load(directory, settings)
        self._pad = self._tokenizer.pad_token_id
        self._pads_left = self._tokenizer.padding_side == "left"
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None
        self._num_batches = 0

    async def of_sample(self, sample: Sample) -> float:
        """Return the score of a sample.  Raises: JudgementError."""
        tokens = read_tokens(self._tokenizer, sample, ends_with_eos=self._settings.ends_with_eos)
        most = self._settings.max_tokens
        if not 0 < len(tokens) <= most:
            words = f"takes 1 to {most:,} tokens, and there are {len(tokens):,}, {where(sample)}"
            raise JudgementError("value", "reward_model", words)
        answer: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        key = (sample.id.stage, sample.id.step, sample.id.group)
        self._waiting.append(_Waiting(key, tokens, answer))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work())
        try:
            return as_number(await answer)
        except RuntimeError as error:  # what torch raises
            words = f"raised {str(error).splitlines()[0]}, {where(sample)}"
            raise JudgementError("raised", "reward_model", words) from error
        except RewardResultError as bad:
            raise JudgementError("value", "reward_model", f"returned {bad}, {where(sample)}") from bad

    def counters(self) -> Mapping[str, int]:
        """Return `model_batches`: passes through the model."""
        return {"model_batches": self._num_batches}

    @override
    def close(self) -> None:
        """Let go of the weights."""
        self._model = None
        self._waiting.clear()

    async def _work(self) -> None:
        """Judge all that waits, and what comes meanwhile."""
        await asyncio.sleep(0)  # the samples of a group ask in one turn of the loop
        while self._waiting:
            taken = [one for one in self._waiting if not one.answer.done()]
            self._waiting.clear()
            for batch in _batches(taken, self._settings.batch_tokens):
                self._num_batches += 1
                call = in_thread(lambda batch=batch: self._scores([one.tokens for one in batch]))
                (scores,) = await asyncio.gather(call, return_exceptions=True)
                for i, one in enumerate(batch):
                    if not one.answer.done() and isinstance(scores, BaseException):
                        one.answer.set_exception(scores)
                    elif not one.answer.done() and isinstance(scores, list):
                        one.answer.set_result(scores[i])

    @torch.inference_mode()
    def _scores(self, rows: Sequence[tuple[int, ...]]) -> list[float]:
        """Return one score a row."""
        longest = max(len(row) for row in rows)
        ids_NT = torch.full((len(rows), longest), self._pad, dtype=torch.int64)
        mask_NT = torch.zeros((len(rows), longest), dtype=torch.int64)
        for i, row in enumerate(rows):
            at = slice(longest - len(row), longest) if self._pads_left else slice(0, len(row))
            ids_NT[i, at] = torch.tensor(row)
            mask_NT[i, at] = 1
        logits_N = self._model(input_ids=ids_NT, attention_mask=mask_NT).logits[:, 0].float()
        scores: list[float] = (logits_N.sigmoid() if self._settings.squash == "sigmoid" else logits_N).tolist()
        return scores


def read_tokens(tokenizer: Any, sample: Sample, *, ends_with_eos: bool) -> tuple[int, ...]:
    """Return what a model reads of a sample: with the end of sequence as in training, demonstrations.py."""

    def encoded(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, add_special_tokens=False, verbose=False))

    shown = question(sample)
    if isinstance(shown, str) or tokenizer.chat_template is None:
        if not ends_with_eos:
            return encoded(sample.prompt.text + sample.text)
        # A text and its answer are made tokens of apart.
        return encoded(sample.prompt.text) + ended(encoded(sample.text), tokenizer.eos_token_id)
    before = tokenizer.apply_chat_template(shown[:-1], tokenize=False, add_generation_prompt=True)
    text = tokenizer.apply_chat_template(shown, tokenize=False)
    tokens = encoded(text)
    if not ends_with_eos:
        return tokens
    # A conversation is one text, and what ends the answer is looked for in the answer.
    first = len(encoded(before)) if text.startswith(before) else 0
    return tokens[:first] + ended(tokens[first:], tokenizer.eos_token_id)


def _load(directory: Path, settings: RewardModel) -> tuple[Any, Any]:
    safe = {"local_files_only": True, "trust_remote_code": False}
    _check_files(directory, settings)
    try:
        config: Any = AutoConfig.from_pretrained(str(directory), **safe)
        tokenizer: Any = AutoTokenizer.from_pretrained(str(directory), **safe)
        found: Any = AutoModelForSequenceClassification.from_pretrained(
            str(directory), config=config, use_safetensors=True, output_loading_info=True, **safe
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise _unreadable(settings, str(error).splitlines()[0]) from error
    model, loading = found
    if getattr(config, SCORED_AT, None) == "eos" and not settings.ends_with_eos:
        raise SpecError(_read_elsewhere(settings))
    if config.num_labels != 1:
        raise _unreadable(settings, f"it has {config.num_labels} outputs, and a score is one")
    if loading["missing_keys"]:
        raise _unreadable(settings, f"its weights lack {sorted(loading['missing_keys'])[0]}")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = tokenizer.eos_token_id if config.pad_token_id is None else config.pad_token_id
    if tokenizer.pad_token_id is None:
        raise _unreadable(settings, "its tokenizer has no token to pad with")
    # Where the score is read from the last token that is no padding, the model finds it by this id.
    config.pad_token_id = tokenizer.pad_token_id
    model.config.pad_token_id = tokenizer.pad_token_id
    if settings.ends_with_eos and tokenizer.eos_token_id is None:
        raise _unreadable(settings, "its tokenizer has no end of sequence to put behind what is judged")
    return tokenizer, model.to(_DTYPES[settings.precision]).eval()


def _check_files(directory: Path, settings: RewardModel) -> None:
    if not (directory / "config.json").is_file():
        raise _unreadable(settings, "it has no config.json")
    if not any(directory.glob("*.safetensors")):
        raise _unreadable(settings, "it has no weights in safetensors")


def _batches(waiting: Sequence[_Waiting], most: int) -> Iterator[list[_Waiting]]:
    """Yield batches of one group, of similar length, whose padded size is at most so many tokens, or a single row."""
    batch: list[_Waiting] = []
    for one in sorted(waiting, key=lambda one: (one.group, len(one.tokens))):
        if batch and (one.group != batch[0].group or len(one.tokens) * (len(batch) + 1) > most):
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _read_elsewhere(settings: RewardModel) -> Diagnostic:
    return Diagnostic(
        "RLC0646",
        f"{settings.path} was trained to be read at the end of sequence, and would be read before it",
        help=(Help("set reward.reward_model.ends_with_eos = true"),),
        paths=("reward.reward_model.ends_with_eos",),
    )


def _unreadable(settings: RewardModel, why: str) -> SpecError:
    return SpecError(
        Diagnostic(
            "RLC0684",
            f"no reward model can be read from {settings.path}: {why}",
            help=(Help("name a Hugging Face directory of a sequence-classification model with one output"),),
            paths=("reward.reward_model.path",),
        )
    )
