"""Benchmarks of prime-rl's trainer, FSDP2 with activation checkpointing: memory_measured_fsdp_prime_rl.csv.
memory_measured_fsdp_prime_rl_others.csv has rows of other versions, found when the model stood.

Weights, gradients and moments are fp32 shards; every layer is recomputed; in training by reinforcement the head and the
log-probs are computed in chunks of tokens, in fine-tuning by PyTorch's cross-entropy over all of them at once.  With
LoRA the weights are fp32 shards without gradients.  Peak memory is what the allocator has reserved.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.planner.comparison import Cells, Comparison, number, peak_gib
from checks.planner.library import Library
from compiler.planner.memory.activations import Kernels, Recompute, Tokens
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage
from compiler.planner.memory.training import Job

_CHUNK_TOKENS = 2048  # rows of the head that are computed at once


def compare(library: Library, row: Cells, *, is_unseen: bool = False) -> Iterator[Comparison[Constants]]:
    """Yield the peak of a row; a source is what was measured of one model."""
    name = f"{row['model']} {row['type']} {row['seq']} {row['ac']} {row['hardware']}"
    source = f"{row['source'].split(' ')[0]} {row['model']}"
    peak = peak_gib(_job(library, row), 0)
    yield Comparison(row["id"], name, source, "peak", "GiB", number(row, "peak_mem_GiB"), peak, is_unseen)


def _job(library: Library, row: Cells) -> Job:
    length, gpus, cp = number(row, "seq"), int(number(row, "gpus")), int(number(row, "cp", 1))
    has_adapters = "LoRA" in row["type"]
    return Job(
        network=library.network(row["model"]),
        layout=Layout(cp=cp, ep=int(number(row, "ep", 1)), dp=gpus // cp),
        storage=Storage(weight=4, gradient=4, master=0, shared="all", trained=0.0 if has_adapters else 1.0),
        recompute=Recompute("full", is_offloaded=row["ac"] == "Offload"),
        tokens=Tokens(count=length, pairs=length * length),
        loss=Loss("plain") if "SFT" in row["type"] else Loss("chunked", rows=_CHUNK_TOKENS),
        kernels=Kernels(fuses_layers=False),
        has_new_kernels=not row["hardware"].startswith("A"),
        reserves=True,
    )
