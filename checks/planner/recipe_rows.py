"""Configurations that people run, from recipes.csv: does the model say that they fit?

A recipe is no measurement, but it ran.  What a row does not say is what its framework does: slime and verl's Megatron
add up gradients in fp32; NeMo-RL's and verl's FSDP keep fp32 shards and compute log-probs from all logits of a
micro-batch.  Primus shards weights by settings that the table leaves out, so its rows are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from checks.planner.comparison import Cells, UnreadableError, number
from checks.planner.library import Library
from compiler.ir.catalogue import Gpu
from compiler.planner.memory.activations import Kernels, Recompute, Tokens
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.lines import GIB, total
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.network import Network
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage
from compiler.planner.memory.training import Job, fullest_stage

GPUS = {
    "H100": "H100-80-SXM",
    "GB200": "GB200-192",
    "H20": "H20-96",
    "96GB": "H20-96",
}
FSDP = ("fsdp", "dtensor", "automodel/dtensor")


@dataclass(frozen=True)
class Verdict:
    """Whether the training of a recipe fits its GPU, by the model; GiB without a driver's context."""

    id: str
    name: str
    needed_gib: float
    memory_gib: float

    @property
    def fits(self) -> bool:
        """Whether it does."""
        return self.needed_gib + CONSTANTS.context_gib <= self.memory_gib


def judge(table: list[dict[str, str]], library: Library, hardware: dict[str, Gpu]) -> Iterator[Verdict]:
    """Yield a verdict on each recipe of a network that the library has, on a GPU that is named."""
    for row in table:
        name = next((gpu for hint, gpu in GPUS.items() if row["gpu_hint"].startswith(hint)), "")
        if row["usable"] != "1" or name not in hardware or row["framework"] == "primus":
            continue
        try:
            job = _job(row, library.network(row["model"]))
        except UnreadableError:
            continue
        needed = total(fullest_stage(job, CONSTANTS)[1]) / GIB
        yield Verdict(row["id"], f"{row['framework']} {row['model']}", needed, hardware[name].memory_gib)


def _job(row: Cells, network: Network) -> Job:
    is_sharded = row["train_backend"] in FSDP
    layout = _layout(row, has_shards=is_sharded)
    length = number(row, "max_seq", number(row, "max_response", 0))
    tokens = number(row, "max_tokens_per_gpu", 0) * (layout.cp if row["framework"] == "slime" else 1)
    tokens = tokens or number(row, "mbs", 1) * length
    if not tokens:
        raise UnreadableError("it does not say how many tokens a micro-batch has")
    return Job(
        network=network._replace(mtp_layers=0),
        layout=layout,
        storage=_storage(row, is_sharded=is_sharded),
        recompute=_recompute(row["recompute"]),
        tokens=Tokens(tokens, tokens * min(tokens, length or tokens)),
        loss=Loss("plain" if is_sharded else "parallel"),
        micro_batches=max(1, int(number(row, "gbs", 1) // layout.dp)),
        kernels=Kernels(fuses_layers=not is_sharded),
        reserves=True,
    )


def _layout(row: Cells, *, has_shards: bool) -> Layout:
    tp, pp, cp, ep, vpp = (int(number(row, axis, 1)) for axis in ("tp", "pp", "cp", "ep", "vpp"))
    gpus = int(number(row, "gpus_train"))
    return Layout(
        tp=tp,
        sp=row["sp"] in ("True", "1") or has_shards,
        pp=pp,
        vpp=vpp,
        cp=cp,
        ep=ep,
        etp=int(number(row, "etp", 1)),
        dp=max(1, gpus // (tp * pp * cp)),
    )


def _storage(row: Cells, *, is_sharded: bool) -> Storage:
    offloaded = 1.0 if row["opt_cpu_offload"] == "True" else 0.0
    trained = 0.0 if row["lora"] not in ("", "False") else 1.0
    if is_sharded:
        return Storage(
            weight=4, gradient=4, master=0, moments=8, shared="all", offloaded_frac=offloaded, trained=trained
        )
    return Storage(
        gradient=2 if row["framework"] == "nemo-rl" else 4,
        offloaded_frac=offloaded,
        trained=trained,
        quantised_copies=2.0 if "fp8" in row["precision"] else 0.0,
    )


def _recompute(said: str) -> Recompute:
    granularity, _, rest = said.partition(":")
    if granularity != "full":
        return Recompute()
    method, _, layers = rest.partition(":")
    if method == "block":
        return Recompute("full", method="block", num_layers=int(layers)) if int(layers) else Recompute()
    return Recompute("full", num_layers=int(layers or 1))
