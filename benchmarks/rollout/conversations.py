"""Conversations of many turns: how much sooner they end where a turn goes on from what those before it computed.

32 conversations take 8 turns: the policy samples 16 tokens, and 32 tokens of an answer come back.  The contestant
without reuse has the same tokens to compute, but the first token of its prompts is another one in every turn, so that
nothing that is held is a prefix of what it asks for.
"""

from __future__ import annotations

import asyncio
import random
import time

import torch

from benchmarks.options import Options
from benchmarks.record import Figure, Report, make_case
from benchmarks.rollout.decode import FIRST_TEXT_TOKEN, measured_model
from benchmarks.rounds import Contestant, Measurement, take_rounds
from compiler.ir.rollout import Sampling
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.protocols import DrawKey, Generation, GenerationRequest

CONVERSATIONS, TURNS, PROMPT_TOKENS, RESPONSE_TOKENS, ANSWER_TOKENS = 32, 8, 128, 16, 32
REUSING, ANEW = "prefixes used again", "every turn anew"
TIMES_AS_FAST = 2.0

Conversations = list[list[int]]


def measure(options: Options) -> Report:
    """Let them take turns."""
    torch.set_num_threads(options.threads)
    model, facts = measured_model()
    positions = PROMPT_TOKENS + TURNS * (RESPONSE_TOKENS + ANSWER_TOKENS)
    engine = NativeEngine(facts, concurrency=CONVERSATIONS, max_context_tokens=positions)
    engine.load_weights(((name, p.detach()) for name, p in model.named_parameters()), version=0)
    # A seed for each round and contestant: no prompt is one of an earlier round.
    draws = iter(random.Random(0).sample(range(1_000_000), 10_000))
    contestants = [
        Contestant(name=name, run=lambda anew=name == ANEW: _talk(engine, facts.vocab_size, next(draws), anew=anew))
        for name in (REUSING, ANEW)
    ]
    for contestant in contestants:
        contestant.run()
    rounds = take_rounds(contestants, options.effort)
    figure = Figure(
        name=f"time of {ANEW} / {REUSING}",
        value=rounds.ratio(ANEW, REUSING, of="wall_s"),
        unit="x",
        bound=TIMES_AS_FAST,
    )
    cpu = Figure(name=f"CPU time of {ANEW} / {REUSING}", value=rounds.ratio(ANEW, REUSING, of="cpu_s"), unit="x")
    name = f"{CONVERSATIONS} conversations, {TURNS} turns, prompts of {PROMPT_TOKENS}"
    settings = {"threads": options.threads, "response tokens": RESPONSE_TOKENS, "answer tokens": ANSWER_TOKENS}
    return Report(benchmark="conversations", cases=[make_case(name, rounds, [figure, cpu])], settings=settings)


def _talk(engine: NativeEngine, vocab_size: int, seed: int, *, anew: bool) -> Measurement:
    draw = random.Random(seed)
    vocab = range(FIRST_TEXT_TOKEN, vocab_size)
    texts: Conversations = [draw.choices(vocab, k=PROMPT_TOKENS) for _ in range(CONVERSATIONS)]
    start, cpu_start = time.perf_counter(), time.process_time()
    generation = engine.begin()
    for turn in range(TURNS):
        if anew:
            for text in texts:
                text[0] = vocab[turn]
        asyncio.run(_take_turn(generation, texts, turn))
        for text in texts:
            text += draw.choices(vocab, k=ANSWER_TOKENS)
    wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    return {"wall_s": wall_s, "cpu_s": cpu_s}


async def _take_turn(generation: Generation, texts: Conversations, turn: int) -> None:
    """Sample the policy's part of a turn, and add it to the texts."""
    requests = [
        GenerationRequest(
            key=DrawKey(seed=0, stage=0, step=0, group=i),
            tokens=tuple(text),
            num_samples=1,
            max_new_tokens=RESPONSE_TOKENS,
            stop_token_ids=frozenset(),
            sampling=Sampling(),
            first_draw=turn * RESPONSE_TOKENS,
            keeps_prefix=True,
        )
        for i, text in enumerate(texts)
    ]
    generation.submit(requests)
    while (completion := await generation.next()) is not None:
        texts[completion.request % CONVERSATIONS] += completion.tokens
