"""Generation that others published: rollout.csv, an engine at a load against its tokens a second.

Loads are of three kinds: a queue that never empties, a number of requests that come at once and all have one length,
and one sequence alone.  What is not said is what engines do: nine tenths of a GPU for weights and cache, and no more
than 2,048 sequences a GPU at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from checks.planner.comparison import Cells, Comparison, UnreadableError, number
from checks.planner.library import Library
from checks.planner.train_rows import gpu_of
from compiler.ir.catalogue import Gpu
from compiler.planner.memory.lines import GIB
from compiler.planner.time.constants import Rates
from compiler.planner.time.lengths import Class
from compiler.planner.time.rollout import (
    Sampler,
    cached_bytes,
    decode_costs,
    drained_seconds,
    prefill_seconds,
    sampler_bytes,
    slots_of,
)
from compiler.planner.time.speed import Format
from compiler.planner.time.work import network_work

_FORMATS: dict[str, tuple[Format, float]] = {"bf16": ("bf16", 2.0), "fp8": ("fp8", 1.0), "fp4": ("fp4", 0.5625)}
_USED, _MOST_SEQUENCES = 0.9, 2048


def compare(library: Library, hardware: dict[str, Gpu], row: Cells) -> Iterator[Comparison[Rates]]:
    """Yield the rate, or the latency, of a row."""
    sampler = _sampler(library, hardware, row)
    predict, unit = _reader(row, sampler)
    name = f"{row['model']} {row['hardware']} {row['engine']} {row['parallel']} {row['isl']}/{row['osl']}"
    name += f" {row['batch_or_concurrency']}"
    source = row["source"].split(" (")[0]
    yield Comparison(row["id"], name, source, "rollout", unit, number(row, "value"), predict)


def _sampler(library: Library, hardware: dict[str, Gpu], row: Cells) -> Sampler:
    network = library.network(row["model"])._replace(mtp_layers=0)
    gpu = gpu_of(hardware, row["hardware"])
    form = row["weight_dtype"]
    if form not in _FORMATS:
        raise UnreadableError(f"weights in {form or 'a format that is not said'}")
    if not row["gpus"]:
        raise UnreadableError("it does not say how many GPUs an engine has")
    kind, each = _FORMATS[form]
    spread = re.search(r"(TP|DEP|EP)(\d+)", row["parallel"])
    gpus = int(spread.group(2)) if spread else int(number(row, "gpus"))
    made = Sampler(
        network=network,
        work=network_work(network),
        gpu=gpu,
        gpus=gpus,
        capacity_tokens=0,
        concurrency=_MOST_SEQUENCES * gpus,
        weight_bytes=each,
        cache_bytes=1.0 if "fp8" in row["kv_dtype"] else 2.0,
        number=kind,
        copies_attention="EP" in row["parallel"],
    )
    room = gpus * (_USED * gpu.memory_gib * GIB - sampler_bytes(made))
    if room <= 0:
        raise UnreadableError("the weights do not fit")
    return made._replace(capacity_tokens=room / cached_bytes(made))


def _reader(row: Cells, sampler: Sampler) -> tuple[Callable[[Rates], float], str]:
    """What a row measures, as a function of the constants, and its unit."""
    metric, load = row["metric"], row["batch_or_concurrency"]
    if metric == "decode_tok_per_s_per_node":
        each = number({"load": load.removesuffix("/GPU")}, "load")
        sequences, context = each * sampler.gpus, number(row, "isl")
        return lambda rates: 8 * each / decode_costs(sampler, rates).seconds(sequences, sequences * context), "tok/s"
    if metric == "prefill_tok_per_s_per_node":
        return lambda rates: 8 / sampler.gpus / prefill_seconds(sampler, 1, number(row, "isl"), rates), "tok/s"
    if not row["osl"]:
        raise UnreadableError(f"{metric} of a load that is not said")
    prompt, length = number(row, "isl"), number(row, "osl")
    if metric == "e2e_latency":
        return lambda rates: _together(sampler, 1, prompt, length, rates), "s"
    share = 1 if metric.endswith("total") else sampler.gpus
    if not metric.startswith("output_tok_per_s"):
        raise UnreadableError(f"{metric} is not a rate of tokens")
    if load == "saturated":
        return (
            lambda rates: _saturated(sampler, prompt, length, rates, is_reserved="trtllm" in row["engine"]) / share,
            "tok/s",
        )
    count = number({"load": load.split(" ")[0]}, "load")
    if row["engine"] == "vllm" and row["group"] == "vllm-load":
        held = sampler._replace(concurrency=int(count))
        return lambda rates: _saturated(held, prompt, length, rates) / share, "tok/s"
    return lambda rates: count * length / _together(sampler, count, prompt, length, rates) / share, "tok/s"


def _saturated(sampler: Sampler, prompt: float, length: float, rates: Rates, *, is_reserved: bool = False) -> float:
    """Tokens a second with a queue that never empties: each decoded token pays its share of a prompt.

    TensorRT-LLM lets a sequence in when there is room for all of it, others when there is room for its prompt.
    """
    slots = slots_of(sampler, prompt + (length if is_reserved else length / 2))
    step = decode_costs(sampler, rates).seconds(slots, slots * (prompt + length / 2))
    return slots / (step + slots / length * prefill_seconds(sampler, prompt, prompt, rates))


def _together(sampler: Sampler, count: float, prompt: float, length: float, rates: Rates) -> float:
    """Seconds for requests of one length that come at once."""
    slots = slots_of(sampler, prompt + length)
    read = prefill_seconds(sampler, count * prompt, prompt, rates)
    classes = tuple(Class(1 / 16, length) for _ in range(16))
    return read + drained_seconds(decode_costs(sampler, rates), classes, count, prompt, slots)
