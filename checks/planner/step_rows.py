"""Steps of reinforcement learning that others published: rl_steps.csv, whole steps and the handover of weights.

A step's rows are NeMo-RL's, whose recipes pack sequences up to the longest one, take log-probs of the policy and of the
reference, and recompute every layer (recipes.csv); those of version 0.3 are of its plain configurations, which
recompute nothing and split no norms.  Its prompts (OpenMathInstruct-2) have some 150 tokens.  rl_steps_others.csv was
looked up later, for the phases of a step, which the first table does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
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
from compiler.planner.time.step import LOGPROBS, ROLLOUT, TRAIN, Sampling, StepJob, step_seconds
from compiler.planner.time.training import Trainer
from compiler.planner.time.work import network_work

_PROMPT = 150.0
_USED_SHARED, _USED_APART = 0.6, 0.8  # of a GPU, for weights and cache (recipes.csv)
_SLOTS = 1024
_PLAIN = ("nemo-rl-v0.3",)  # not of the recipes for performance, but of examples/configs/grpo_math_*_megatron.yaml
_PHASES = {"gen_s": ROLLOUT, "train_s": TRAIN, "logprob_s": LOGPROBS}  # a cell, and what it is the time of


def compare(
    library: Library, hardware: dict[str, Gpu], row: Cells, *, is_unseen: bool = False
) -> Iterator[Comparison[Rates]]:
    """Yield the seconds of a step and of the phases that are published, or of a handover.

    Args:
        is_unseen: whether rows were looked up later, so that none is ever fitted on.
    """
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
        of_step = (("RL step", number(row, "value"), ""),)
        of_phases = ((f"RL {phase}", number(row, cell), phase) for cell, phase in _PHASES.items() if row[cell])
        for quantity, measured, phase in (*of_step, *of_phases):
            yield Comparison(row["id"], name, source, quantity, "s", measured, partial(_seconds, job, phase), is_unseen)
    else:
        raise UnreadableError(f"{row['metric']} is not the time of a step")


def _seconds(job: StepJob, phase: str, rates: Rates) -> float:
    """Of a phase, or where there is no name of one of the whole step."""
    found = step_seconds(job, rates)
    return found.of(phase) if phase else found.total


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
    is_shared = row["mode"].startswith("sync")
    sampler = _sampler(network, gpu, each, _USED_SHARED if is_shared else _USED_APART)
    off = re.search(r"async-(\d+)off", row["mode"])
    ahead = int(off.group(1)) if off else 1
    job = trainer.job
    lines = static_lines(job.network, job.layout, job.storage._replace(gradient=0), 0)
    return StepJob(
        trainer=trainer,
        optimizer_steps=steps,
        scoring_passes=2,
        sampling=Sampling(
            sampler, max(1, gpus // each), samples, _PROMPT, lengths, group=16, lag=ahead if ahead > 1 else 0
        ),
        is_shared=is_shared,
        swapped_bytes=total(lines) if is_shared else 0.0,
        exchanged_bytes=sum(line.bytes for line in lines if line.name == "weights"),
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
    is_plain = row["group"] in _PLAIN
    job = Job(
        network=network,
        layout=Layout(tp=tp, sp=tp > 1 and not is_plain, pp=pp, cp=cp, ep=ep, dp=dp),
        storage=Storage(gradient=2),
        recompute=Recompute() if is_plain else Recompute("full"),
        tokens=Tokens(tokens, tokens * square / (lengths.mean + _PROMPT)),
        loss=Loss(),
        micro_batches=micro_batches,
    )
    trainer = Trainer(job, network_work(network), gpu, "bf16", ROUTED_IMBALANCE)
    return trainer, number(row, "samples_per_step") / batch


def _sampler(network: Network, gpu: Gpu, gpus: int, used: float) -> Sampler:
    made = Sampler(network, network_work(network), gpu, gpus, 0, _SLOTS)
    return made._replace(
        capacity_tokens=max(0.0, gpus * (used * gpu.memory_gib * GIB - sampler_bytes(made))) / cached_bytes(made)
    )
