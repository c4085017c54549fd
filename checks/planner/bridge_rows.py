"""Cases that somebody ran with Megatron Bridge until they fitted: oom_cases.csv, where a row says what was allocated.

Its recipes keep gradients and moments in bf16, with an fp32 master copy (precision-aware optimizer), and fuse the
cross-entropy: src/megatron/bridge/recipes/moonlight/moonlight_16b.py of NVIDIA-NeMo/Megatron-Bridge.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.planner.comparison import Cells, Comparison, UnreadableError, peak_gib
from checks.planner.library import Library
from compiler.planner.memory.activations import Recompute, Tokens
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.lines import GIB
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage
from compiler.planner.memory.training import Job

_ALLOCATED = re.compile(r"([\d.]+) GB allocated")


def compare(library: Library, row: Cells) -> Iterator[Comparison[Constants]]:
    """Yield what was allocated at most."""
    allocated = _ALLOCATED.search(row["detail"])
    if allocated is None or "Megatron-Bridge" not in row["source"]:
        raise UnreadableError("it does not say what was allocated, by which trainer")
    if "FP8" in row["config"]:
        raise UnreadableError("what FP8-CS keeps in which format is not said")
    job = _job(library, row)
    gib = float(allocated.group(1)) * 1e9 / GIB
    source = row["source"].split(" ")[0]
    yield Comparison(row["id"], f"{row['model']} {row['config']}", source, "peak", "GiB", gib, peak_gib(job))


def _job(library: Library, row: Cells) -> Job:
    config, gpus = row["config"], int(row["gpus"])
    tp, pp, ep = (_axis(config, axis, 1) for axis in ("TP", "PP", "EP"))
    length, batch = _axis(config, "seq", 0), _axis(config, "mbs", 1)
    if not length or "no recompute" not in config:
        raise UnreadableError("it does not say what is recomputed of which length")
    return Job(
        network=library.network(row["model"]),
        layout=Layout(tp=tp, sp=tp > 1, pp=pp, ep=ep, dp=gpus // (tp * pp)),
        storage=Storage(gradient=2, moments=4),
        recompute=Recompute(),
        tokens=Tokens(batch * length, batch * length * length),
        loss=Loss("fused"),
        micro_batches=pp,
    )


def _axis(config: str, name: str, default: int) -> int:
    found = re.search(rf"\b{name}(\d+)", config)
    return int(found.group(1)) if found else default
