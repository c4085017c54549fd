"""How much of a step is spent waiting for data, with reading ahead and without; rows per second against a plain loop.

Rows are questions of some hundred words in a Parquet file and in JSON lines, turned into tokens by a byte-pair
tokenizer of 8,192 entries that is trained here on the same words.  The step is a stand-in of matrix products that takes
one and a half times as long as its rows take to read: the least at which nobody need wait, with some room.  The plain
loop is the library `datasets` and a tokenizer: what one writes without a framework.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, Never

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from benchmarks.options import Options
from benchmarks.record import Case, Figure, Report, make_case
from benchmarks.rounds import Contestant, Measurement, take_rounds
from compiler.ir.data import Data, TrainSource
from runtime.data.feed import Feed
from runtime.data.lengths import Limit
from runtime.data.open_feed import Needs, open_feed
from runtime.data.prompts import PromptReading
from runtime.data.tokenizers import HuggingFaceTokenizer
from stdlib.samples import Prompt

NUM_ROWS, WORDS_PER_ROW, VOCABULARY = 2_048, 200, 8_192
ROWS_PER_STEP, NUM_STEPS = 64, 16
LARGEST_WAIT_FRAC = 0.02


def measure(options: Options) -> Report:
    """Measure both."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        tokenizer = _write(root)
        cases = [_waiting(root, tokenizer, options), _throughput(root, tokenizer, options)]
    settings = {"rows": NUM_ROWS, "words of a row": WORDS_PER_ROW, "rows of a step": ROWS_PER_STEP, "steps": NUM_STEPS}
    return Report(benchmark="data", cases=cases, settings=settings)


def _waiting(root: Path, tokenizer: HuggingFaceTokenizer, options: Options) -> Case:
    """Steps that draw rows from a stream, read ahead and not."""
    plain = _feed(root, tokenizer, "rows.parquet", prefetch=0)
    started = time.perf_counter()
    plain.take(0, ROWS_PER_STEP * 4)
    step_s = 1.5 * (time.perf_counter() - started) / 4
    names = {"read when drawn": 0, "read ahead": 2}
    ways = [
        Contestant(name=name, run=partial(_steps, root, tokenizer, prefetch, step_s))
        for name, prefetch in names.items()
    ]
    rounds = take_rounds(ways, options.effort)
    medians = rounds.medians()
    shares = {name: medians[name]["wait_s"] / medians[name]["wall_s"] for name in names}
    figures = [
        Figure(
            name="share of a step spent waiting, read when drawn", value=shares["read when drawn"], unit="of the step"
        ),
        Figure(
            name="share of a step spent waiting, read ahead",
            value=shares["read ahead"],
            unit="of the step",
            bound=LARGEST_WAIT_FRAC,
            sense="at most",
        ),
        Figure(
            name="time of a step, read when drawn / read ahead",
            value=rounds.ratio("read when drawn", "read ahead", of="wall_s"),
            unit="x",
        ),
    ]
    return make_case(f"{NUM_STEPS} steps of {ROWS_PER_STEP} rows", rounds, figures)


def _throughput(root: Path, tokenizer: HuggingFaceTokenizer, options: Options) -> Case:
    """Rows per second, of rows that are read and turned into tokens and of nothing else."""
    plain = "datasets and a tokenizer in a loop"
    ways: dict[str, Any] = {
        plain: partial(_plain_loop, root),
        "parquet": partial(_drained, root, tokenizer, "rows.parquet"),
        "json lines": partial(_drained, root, tokenizer, "rows.jsonl"),
    }
    rounds = take_rounds([Contestant(name=name, run=run) for name, run in ways.items()], options.effort)
    figures = [
        Figure(name=f"rows/s, {name} / {plain}", value=rounds.ratio(plain, name, of="wall_s"), unit="x", bound=1.0)
        for name in ways
        if name != plain
    ]
    return make_case(f"{NUM_ROWS:,} rows", rounds, figures)


def _steps(root: Path, tokenizer: HuggingFaceTokenizer, prefetch: int, step_s: float) -> Measurement:
    feed, position, waited_s = _feed(root, tokenizer, "rows.parquet", prefetch=prefetch), 0, 0.0
    # The first window of a stream is waited for in any case; it belongs to the start and not to a step.
    position = feed.take(position, ROWS_PER_STEP).position
    feed.take_metrics()
    started = time.perf_counter()
    for _ in range(NUM_STEPS):
        position = feed.take(position, ROWS_PER_STEP).position
        _compute(step_s)
        waited_s += feed.take_metrics()["time/data_wait_s"]
    wall_s = time.perf_counter() - started
    feed.close()
    return {"wall_s": wall_s, "wait_s": waited_s}


def _compute(seconds: float) -> None:
    """Matrix products for a while, as a step of training is."""
    matrix = torch.ones(256, 256)
    ends = time.perf_counter() + seconds
    while time.perf_counter() < ends:
        matrix = torch.tanh(matrix @ matrix)


def _drained(root: Path, tokenizer: HuggingFaceTokenizer, name: str) -> Measurement:
    started = time.perf_counter()
    feed = _feed(root, tokenizer, name, prefetch=4)
    feed.take(0, NUM_ROWS)
    feed.close()
    return {"wall_s": time.perf_counter() - started}


def _plain_loop(root: Path) -> Measurement:
    started = time.perf_counter()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(root / "tokenizer"))
    rows = datasets.load_dataset("parquet", data_files=str(root / "rows.parquet"), split="train", streaming=True)
    count = sum(len(tokenizer.encode(row["input"], add_special_tokens=False)) > 0 for row in rows)
    assert count == NUM_ROWS
    return {"wall_s": time.perf_counter() - started}


def _feed(root: Path, tokenizer: HuggingFaceTokenizer, name: str, *, prefetch: int) -> Feed[Prompt]:
    kind = "parquet" if name.endswith("parquet") else "jsonl"
    source: TrainSource[Never] = TrainSource(path=name, format=kind, streaming=True)
    data = Data(train=(source,), shuffle=False, prefetch=prefetch, workers=1)
    needs = Needs(Limit(1 << 20, "error", "rollout.max_prompt_tokens"), ROWS_PER_STEP, 0)
    return open_feed(data, data.train, PromptReading(tokenizer), needs, root=root).feed


def _write(root: Path) -> HuggingFaceTokenizer:
    draw = random.Random(0)
    words = ["".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(20_000)]
    rows = [{"input": " ".join(draw.choices(words, k=WORDS_PER_ROW)), "label": "1"} for _ in range(NUM_ROWS)]
    pq.write_table(pa.Table.from_pylist(rows), root / "rows.parquet", row_group_size=512)
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.train_from_iterator(
        [row["input"] for row in rows[:500]], trainers.BpeTrainer(vocab_size=VOCABULARY, show_progress=False)
    )
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>").save_pretrained(str(root / "tokenizer"))
    return HuggingFaceTokenizer(root / "tokenizer")
