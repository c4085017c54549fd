"""Tokens per second of the native engine, against Hugging Face's `generate` and loops written by hand.

128 sequences of one tiny model, sampled at temperature 1 from the whole vocabulary, with the log-probs of the tokens.
Nobody has a stop token: each sequence gets the number of tokens that it is given.  At mixed lengths the peers, which
know one length, generate the longest for all, as they do when sequences stop at different times; only useful tokens
count.

With `--hand-loop FILE` another hand-written loop is measured: FILE has a class FastQwen3(model, rows, positions) whose
generate(prompts, num_new) returns tokens and log-probs.
"""

from __future__ import annotations

import asyncio
import importlib.util
import random
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Never

import torch
from torch import Tensor
from transformers import GenerationConfig, Qwen3ForCausalLM

from benchmarks.options import Options
from benchmarks.record import Case, Figure, Report, make_case
from benchmarks.rollout.hand_loop import HandLoop
from benchmarks.rounds import Contestant, Measurement, Rounds, take_rounds
from benchmarks.train.plan import compiled_step
from compiler.ir.model import Model
from compiler.ir.rollout import Sampling
from runtime.engines.architecture import architecture
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.train.hf_config import hf_config
from runtime.protocols import Completion, DrawKey, GenerationRequest

NUM_SEQUENCES, PROMPT_TOKENS, RESPONSE_TOKENS, LONGEST, FIRST_TEXT_TOKEN = 128, 6, 16, 64, 4
NATIVE, HUGGING_FACE, STATIC, HAND = "native", "hugging face", "hugging face, static cache", "hand-written loop"
GIVEN = "hand-written loop, given"
AGAINST_HUGGING_FACE_EQUAL, AGAINST_HUGGING_FACE_MIXED, BEHIND_HAND = 2.0, 3.0, 1.3

Generate = Callable[[], object]


class Work(NamedTuple):
    """What everybody generates: tokens of each prompt, and how many tokens each response has."""

    prompts: list[list[int]]
    lengths: list[int]


def measure(options: Options) -> Report:
    """Compare at equal and at mixed lengths."""
    torch.set_num_threads(options.threads)
    model, facts = measured_model()
    engine = native_engine(model, facts)
    cases = [_case(name, work, model, engine, options) for name, work in workloads(facts.vocab_size).items()]
    settings = {"threads": options.threads, "sequences": NUM_SEQUENCES, "prompt tokens": PROMPT_TOKENS}
    return Report(benchmark="rollout", cases=cases, settings={**settings, "vocabulary": facts.vocab_size})


def measured_model() -> tuple[Qwen3ForCausalLM, Model[Never]]:
    """Return the model of the measured step with random weights, and its facts."""
    torch.manual_seed(0)
    facts = compiled_step().experiment.model
    config: Any = hf_config(facts, architecture(facts))
    return Qwen3ForCausalLM(config).eval(), facts


def native_engine(model: Qwen3ForCausalLM, facts: Model[Never]) -> NativeEngine:
    """Return the engine with the model's weights."""
    engine = NativeEngine(facts, concurrency=NUM_SEQUENCES, max_context_tokens=PROMPT_TOKENS + LONGEST)
    engine.load_weights(((name, p.detach()) for name, p in model.named_parameters()), version=0)
    return engine


def workloads(vocab_size: int) -> Mapping[str, Work]:
    """Return what is generated, by name."""
    draw = random.Random(0)
    lengths = {
        "equal lengths": [RESPONSE_TOKENS] * NUM_SEQUENCES,
        "mixed lengths": [draw.randint(1, LONGEST) for _ in range(NUM_SEQUENCES)],
    }
    draw = random.Random(1)
    vocab = range(FIRST_TEXT_TOKEN, vocab_size)
    return {name: Work([draw.choices(vocab, k=PROMPT_TOKENS) for _ in some], some) for name, some in lengths.items()}


def _case(name: str, work: Work, model: Qwen3ForCausalLM, engine: NativeEngine, options: Options) -> Case:
    prompts, lengths = work
    prompt_BP, longest = torch.tensor(prompts), max(lengths)
    hand = HandLoop(model, num_rows=len(lengths), num_positions=PROMPT_TOKENS + longest)
    ways: dict[str, Generate] = {
        NATIVE: lambda: _native(engine, prompts, lengths),
        HUGGING_FACE: lambda: _hugging_face(model, prompt_BP, longest),
        STATIC: lambda: _hugging_face(model, prompt_BP, longest, cache_implementation="static"),
        HAND: lambda: hand.generate(prompt_BP, num_new=longest),
    }
    if options.hand_loop is not None:
        given = _given_loop(options.hand_loop, model, len(lengths), PROMPT_TOKENS + longest)
        ways[GIVEN] = lambda: given.generate(prompt_BP, longest)
    contestants = [Contestant(name=way, run=lambda run=run: _timed(run, sum(lengths))) for way, run in ways.items()]
    rounds = take_rounds(contestants, options.effort)
    return make_case(name, rounds, _figures(rounds, ways, is_equal=longest == min(lengths)))


def timed_native(engine: NativeEngine, work: Work) -> Measurement:
    """Let the engine generate it all."""
    return _timed(lambda: _native(engine, work.prompts, work.lengths), sum(work.lengths))


def _figures(rounds: Rounds, ways: Collection[str], *, is_equal: bool) -> list[Figure]:
    bound = AGAINST_HUGGING_FACE_EQUAL if is_equal else AGAINST_HUGGING_FACE_MIXED
    figures = [_faster(rounds, HUGGING_FACE, of="wall_s", bound=bound)]
    figures += [_faster(rounds, name, of=of) for name, of in ((STATIC, "wall_s"), (HUGGING_FACE, "cpu_s"))]
    for loop in (HAND, GIVEN):
        if loop in ways:
            behind = rounds.ratio(NATIVE, loop, of="wall_s")
            figure = Figure(name=f"tokens/s of {loop} / native", value=behind, unit="x", sense="at most")
            figures.append(replace(figure, bound=BEHIND_HAND) if is_equal else figure)
    return figures


def _faster(rounds: Rounds, peer: str, *, of: str, bound: float | None = None) -> Figure:
    what = f"tokens/s of native / {peer}" if of == "wall_s" else f"CPU time of {peer} / native"
    return Figure(name=what, value=rounds.ratio(peer, NATIVE, of=of), unit="x", bound=bound)


def _timed(run: Generate, num_tokens: int) -> Measurement:
    start, cpu_start = time.perf_counter(), time.process_time()
    run()
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    return {"wall_s": wall_s, "cpu_s": cpu_s, "tokens_per_second": num_tokens / wall_s}


def _native(engine: NativeEngine, prompts: Sequence[Sequence[int]], lengths: Sequence[int]) -> list[Completion]:
    requests = [
        GenerationRequest(
            key=DrawKey(seed=0, stage=0, step=0, group=i),
            tokens=tuple(prompt),
            num_samples=1,
            max_new_tokens=length,
            stop_token_ids=frozenset(),
            sampling=Sampling(),
            keeps_prefix=False,
        )
        for i, (prompt, length) in enumerate(zip(prompts, lengths, strict=True))
    ]

    async def collect() -> list[Completion]:
        return [completion async for completion in engine.generate(requests)]

    return asyncio.run(collect())


@torch.inference_mode()
def _hugging_face(
    model: Qwen3ForCausalLM, prompt_BP: Tensor, num_new: int, *, cache_implementation: str | None = None
) -> tuple[Tensor, Tensor]:
    settings = GenerationConfig(
        do_sample=True,
        top_k=0,
        top_p=1.0,
        max_new_tokens=num_new,
        pad_token_id=0,
        use_cache=True,
        cache_implementation=cache_implementation,
        output_logits=True,
        return_dict_in_generate=True,
    )
    border: Any = model
    out = border.generate(input_ids=prompt_BP, attention_mask=torch.ones_like(prompt_BP), generation_config=settings)
    token_BN = out.sequences[:, prompt_BP.shape[1] :]
    if token_BN.shape[1] != num_new:
        sys.exit(f"Hugging Face generated {token_BN.shape[1]} tokens instead of {num_new}")
    logprob_BNV = torch.stack(out.logits, dim=1).log_softmax(-1)
    return token_BN, logprob_BNV.gather(2, token_BN[..., None])[..., 0]


def _given_loop(path: Path, model: Qwen3ForCausalLM, num_rows: int, num_positions: int) -> Any:
    spec = importlib.util.spec_from_file_location("given_hand_loop", path)
    if spec is None or spec.loader is None:
        sys.exit(f"{path} is no Python file")
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FastQwen3(model, num_rows, num_positions)
