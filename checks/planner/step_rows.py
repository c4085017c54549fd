"""Steps of reinforcement learning that others published: rl_steps.csv, whole steps and the handover of weights.

A step's rows are NeMo-RL's, whose recipes pack sequences up to the longest one, take log-probs of the policy and of the
reference, and recompute every layer (recipes.csv).  Its prompts (OpenMathInstruct-2) have some 150 tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import ceil

from checks.planner.comparison import Cells, Comparison, UnreadableError, number
from checks.planner.library import Library
from checks.planner.train_rows import gpu_of
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.planner.memory.activations import Recompute, Tokens
from compiler.planner.memory.lines import GIB, total
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.network import Network
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage, static_lines
from compiler.planner.memory.training import Job
from compiler.planner.time.constants import ROUTED_IMBALANCE, Rates
from compiler.planner.time.handover import sync_seconds
from compiler.planner.time.lengths import Lengths, classes_of, expected_lengths
from compiler.planner.time.packing import packed_micro_batches
from compiler.planner.time.rollout import Sampler, cached_bytes, sampler_bytes
from compiler.planner.time.step import Sampling, StepJob, step_seconds
from compiler.planner.time.training import Trainer
from compiler.planner.time.work import network_work

_PROMPT, _USED = 150.0, 0.6
_SLOTS = 1024


def compare(library: Library, hardware: dict[str, Gpu], row: Cells) -> Iterator[Comparison[Rates]]:
    """Yield the seconds of a step, or of a handover."""
    if row["usable"] != "1":
        raise UnreadableError("an upper bound of a test")
    name = f"{row['framework']} {row['model']} {row['hardware']} x{row['gpus']} {row['mode']}"
    source = row["source"].split(" @")[0]
    if row["metric"] == "weight_sync_time":
        if "checkpoint-engine" in row["framework"] + row["mode"] or "DDMA" in row["mode"]:
            raise UnreadableError("weights go another way: through pinned host memory, or without being gathered")
        seconds = _handover(library, hardware, row)
        yield Comparison(row["id"], name, source, "weight sync", "s", number(row, "value"), lambda _: seconds)
    elif row["metric"] == "step_time":
        job = _step(library, hardware, row)
        yield Comparison(
            row["id"], name, source, "RL step", "s", number(row, "value"), lambda rates: step_seconds(job, rates).total
        )
    else:
        raise UnreadableError(f"{row['metric']} is not the time of a step")


def _handover(library: Library, hardware: dict[str, Gpu], row: Cells) -> float:
    network, gpu = library.network(row["model"].replace("V3.1", "V3")), gpu_of(hardware, row["hardware"])
    gpus = int(number(row, "gpus"))
    layout = Layout(tp=8, ep=1 if isinstance(network.moe, Off) else 8, dp=max(1, gpus // 8))
    size = 1.0 if row["precision"] == "fp8" else 2.0
    return sync_seconds(network, layout, gpu, is_shared=False, number_bytes=size)


def _step(library: Library, hardware: dict[str, Gpu], row: Cells) -> StepJob:
    network = library.network(row["model"])._replace(mtp_layers=0)
    gpu = gpu_of(hardware, row["hardware"])
    if not row["gpus_train"] or not row["samples_per_step"]:
        raise UnreadableError("it does not say how GPUs or samples are divided")
    longest, samples = number(row, "max_seq"), number(row, "samples_per_step")
    lengths = expected_lengths(longest - _PROMPT, number(row, "avg_seq") - _PROMPT)
    trainer, steps = _trainer(network, gpu, row, lengths)
    each, gpus = int(number(row, "rollout_tp", 1)), int(number(row, "gpus_rollout"))
    sampler = _sampler(network, gpu, each)
    is_shared = row["mode"].startswith("sync")
    off = re.search(r"async-(\d+)off", row["mode"])
    ahead = int(off.group(1)) if off else 1
    job = trainer.job
    held = total(static_lines(job.network, job.layout, job.storage, 0))
    return StepJob(
        trainer=trainer,
        optimizer_steps=steps,
        scoring_passes=2,
        sampling=Sampling(
            sampler, max(1, gpus // each), samples, _PROMPT, lengths, group=16, lag=ahead if ahead > 1 else 0
        ),
        is_shared=is_shared,
        swapped_bytes=held if is_shared else 0.0,
        overlaps=not is_shared,
    )


def _trainer(network: Network, gpu: Gpu, row: Cells, lengths: Lengths) -> tuple[Trainer, float]:
    """A trainer, and the optimizer steps of one step."""
    gpus, longest = int(number(row, "gpus_train")), number(row, "max_seq")
    tp, pp, cp, ep = (int(number(row, axis, 1)) for axis in ("tp", "pp", "cp", "ep"))
    dp = max(1, gpus // (tp * pp * cp))
    batch = number(row, "train_gbs", 0) or number(row, "samples_per_step")
    micro_batches = max(1, ceil(packed_micro_batches(lengths, batch, _PROMPT, longest) / dp - 1e-6))
    tokens = batch / dp * (lengths.mean + _PROMPT) / micro_batches
    classes = classes_of(lengths, batch)
    square = sum(one.share * (_PROMPT + one.tokens) ** 2 for one in classes)
    job = Job(
        network=network,
        layout=Layout(tp=tp, sp=tp > 1, pp=pp, cp=cp, ep=ep, dp=dp),
        storage=Storage(gradient=4),
        recompute=Recompute("full"),
        tokens=Tokens(tokens, tokens * square / (lengths.mean + _PROMPT)),
        loss=Loss(),
        micro_batches=micro_batches,
    )
    trainer = Trainer(job, network_work(network), gpu, "bf16", ROUTED_IMBALANCE)
    return trainer, number(row, "samples_per_step") / batch


def _sampler(network: Network, gpu: Gpu, gpus: int) -> Sampler:
    made = Sampler(network, network_work(network), gpu, gpus, 0, _SLOTS)
    return made._replace(
        capacity_tokens=max(0.0, gpus * (_USED * gpu.memory_gib * GIB - sampler_bytes(made))) / cached_bytes(made)
    )
