"""What is counted and has no constant in it: bytes of a cached token, FLOPs, activations of a layer, model states.

Activations of a layer are table 2 of arXiv:2205.05198, and model states figure 1 of arXiv:1910.02054, as
memory_published.csv holds them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.planner.comparison import Cells, Comparison, UnreadableError, number, peak_gib
from checks.planner.library import Library
from compiler.ir.openness import Off
from compiler.planner.memory.activations import Kernels, Pass, Recompute, Tokens, layer_kept
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.kv_cache import kv_bytes_per_token
from compiler.planner.memory.lines import MIB, total
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.network import Network, last_layer
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage, static_lines
from compiler.planner.memory.training import Job
from compiler.planner.parameters import parameters_of
from compiler.planner.time.flops import sequence_flops

_POLICIES = {
    "TP baseline": (False, ""),
    "TP+SP": (True, ""),
    "TP+SP+selective": (True, "core_attn"),
}


def compare_cache(library: Library, row: Cells) -> Iterator[Comparison[Constants]]:
    """Yield the bytes of a cached token, in bf16."""
    each = kv_bytes_per_token(library.model(row["model"]).facts, 2)
    yield Comparison(
        row["model"], row["model"], "kv_cache.csv", "cached token", "bytes", number(row, "bytes_per_token_bf16"),
        lambda _: each,
    )  # fmt: skip


def compare_flops(library: Library, row: Cells) -> Iterator[Comparison[Constants]]:
    """Yield FLOPs of a forward pass over 4,096 tokens and activated parameters, of a row of the DeepSeek tool."""
    model = library.model(row["model"]).facts
    cost = sequence_flops(model)
    flops = (4096 * cost.per_token + 4096 * 4096 * cost.per_pair) / 1e12
    looked_up = 0 if model.tie_embeddings else model.vocab_size * model.hidden_size
    active = (parameters_of(model).active - looked_up) / 1e9
    source = row["source"].split(" ")[2]
    yield Comparison(
        row["id"], row["model"], source, "FLOPs", "TFLOPs", number(row, "train_fwd_TFLOPs_per_4096"), lambda _: flops
    )
    yield Comparison(
        row["id"], row["model"], source, "parameters", "billions", number(row, "activated_params_B"), lambda _: active
    )


def compare_published(library: Library, row: Cells) -> Iterator[Comparison[Constants]]:
    """Yield what a row of memory_published.csv says of one layer, of model states, or of a whole GPU."""
    quantity, model, config = row["quantity"], row["model"], row["config"]
    name, source = f"{model} {quantity}", row["source"].split(" ")[0]
    if quantity.startswith("activation bytes per layer"):
        kept = _layer(library.network(model), config, quantity.partition(", ")[2]) / MIB
        yield Comparison(row["id"], name, source, "layer", "MiB", number(row, "value"), lambda _: kept)
    elif quantity == "model states per GPU":
        billions, copies = float(model.removesuffix("B")), int(re.findall(r"Nd=(\d+)", config)[0])
        storage = Storage(gradient=2, shared="state")  # K = 12: master weights and two moments
        held = total(static_lines(_of_size(billions), Layout(dp=copies), storage, 0)) / 1e9
        yield Comparison(row["id"], name, source, "static", "GB", number(row, "value"), lambda _: held)
    elif quantity == "total per GPU" and model == "DeepSeek-V3":
        job = _deepseek_job(library, config)
        yield Comparison(row["id"], name, source, "peak", "GiB", number(row, "value"), peak_gib(job))
    else:
        raise UnreadableError(f"{quantity}: the row does not say what decides it")


def _layer(network: Network, config: str, policy: str) -> float:
    length, batch, tp = (int(re.findall(pattern, config)[0]) for pattern in (r"s(\d+)", r"b(\d+)", r"TP(\d+)"))
    tokens = Tokens(batch * length, batch * length * length)
    if policy not in _POLICIES:
        return 2.0 * tokens.count * network.hidden  # the input alone
    has_sp, again = _POLICIES[policy]
    recompute = Recompute("selective", (again,)) if again else Recompute()
    one = Pass(network, Layout(tp=tp, sp=has_sp), tokens, recompute, Kernels(fuses_attention=False))
    return layer_kept(one, last_layer(network)).total


def _of_size(billions: float) -> Network:
    """A network of one matrix, with so many parameters."""
    return Network(1, 0, 0, 0, 0, 0, 0)._replace(vocab=round(billions * 1e9), hidden=1, tied=True)


def _deepseek_job(library: Library, config: str) -> Job:
    gpus, pp, chunks, ep = (
        int(re.findall(p, config)[0]) for p in (r"(\d+) GPUs", r" PP(\d+)", r"VPP(\d+)", r"EP(\d+)")
    )
    network = library.network("deepseek_v3")
    assert isinstance(network.mla, Off) is False
    length, copies = 4096, gpus // pp
    return Job(
        network=network._replace(mtp_layers=0),
        layout=Layout(pp=pp, vpp=chunks, ep=ep, dp=copies),
        storage=Storage(),
        recompute=Recompute(),
        tokens=Tokens(length, length * length),
        loss=Loss(),
        micro_batches=64,
    )
