"""Training throughput that others published: throughput.csv, one optimizer step against its tokens a second.

How a row is read is part of the model.  What a row does not say is what its stack does: Megatron's benchmarks of
Blackwell keep gradients in bf16 and balance experts by force; Selene is eight A100 with eight cards of 200 Gb/s; a
recipe that is not shown recomputes nothing but what its precision makes free.  Sequences are as long as said, so pairs
are the square of that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from checks.planner.comparison import Cells, Comparison, UnreadableError, number
from checks.planner.library import Library
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.planner.memory.activations import Kernels, Recompute, Tokens
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.lines import GIB, total
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.network import Network
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage
from compiler.planner.memory.training import Job, fullest_stage
from compiler.planner.time.constants import ROUTED_IMBALANCE, Rates
from compiler.planner.time.speed import Format
from compiler.planner.time.training import Trainer, train_flops, train_seconds
from compiler.planner.time.work import network_work

GPUS = {
    "A100-80": "A100-80-SXM",
    "GB300": "GB300-288",
    "GB200": "GB200-192",
    "B300": "B300-288",
    "B200": "B200-180",
    "H100": "H100-80-SXM",
    "H200": "H200-141-SXM",
    "H800": "H800-80-SXM",
    "H20": "H20-96",
    "MI300X": "MI300X-192",
    "MI325X": "MI325X-256",
    "MI355X": "MI355X-288",
}
_GPT = re.compile(r"L(\d+) h(\d+) a(\d+)(?:, V(\d+))?(, gelu 4h)?")
_FSDP = ("torchtitan", "automodel")
_PLAIN = re.compile("A2A dispatcher|plain NCCL alltoall")  # else DeepEP or HybridEP
_LARGE_GIB = 170  # GPUs whose recipes keep gradients in bf16
_CHEAP = Recompute("selective", ("layernorm", "moe_act", "mla_up_proj"))
_ALL_BUT_ATTENTION = Recompute("selective", ("layernorm", "mla_up_proj", "moe", "mlp"))


def gpu_of(hardware: dict[str, Gpu], said: str) -> Gpu:
    """Return the GPU that a row names first.  Raises: UnreadableError if there is none."""
    name = next((gpu for hint, gpu in GPUS.items() if said.startswith(hint)), None)
    if name is None or name not in hardware:
        raise UnreadableError(f"no GPU of the library is called {said!r}")
    gpu = hardware[name]
    if "HBM2e 2.4TB/s 500W" not in said:
        return gpu
    return gpu._replace(  # power grows with the third power of the clock
        memory_tb_per_s=2.4,
        bf16_tflops=gpu.bf16_tflops * (5 / 7) ** (1 / 3),
        fp8_tflops=gpu.fp8_tflops * (5 / 7) ** (1 / 3),
    )


def compare(library: Library, hardware: dict[str, Gpu], row: Cells) -> Iterator[Comparison[Rates]]:
    """Yield the tokens a second of a GPU, and the FLOPs of a token where the row says both."""
    network = _network(library, row)
    gpu, gpus = gpu_of(hardware, row["hardware"]), int(number(row, "gpus"))
    trainer = _trainer(network, gpu, row)
    length = number(row, "seq")
    per_token = train_flops(trainer) / trainer.job.tokens.count
    name = f"{row['model']} {row['hardware'].split(' ')[0]} x{gpus} {row['precision']}"
    kind = "train dense" if isinstance(network.moe, Off) else "train MoE"
    if row["primary"] != "1":
        kind += ", older"
    if row["mbs"] == row["tp"] == "":
        raise UnreadableError("it does not say how the model is spread")
    if not row["gbs"] and not (row["group"] == "torchtitan" or number(row, "pp", 1) == 1):
        raise UnreadableError("it does not say how many micro-batches its pipeline has")
    measured = _measured(row, gpus, per_token, length)
    tokens = trainer.job.tokens.count * trainer.job.micro_batches * trainer.job.layout.dp
    yield Comparison(
        row["id"], name, row["source"].split(" @")[0].split("@")[0], kind, "tok/s", measured,
        lambda rates: tokens / train_seconds(trainer, rates).total / gpus, series=row["group"],
    )  # fmt: skip
    # NeMo's tables of 24.12 count pairs that the causal mask leaves out.
    counts = row["unit2"] == "model TFLOP/s/GPU" and row["group"] != "nemo-24.12"
    if counts and row["metric"] == "tokens_per_s_per_gpu":
        published = number(row, "value2") * 1e3 / number(row, "value")
        yield Comparison(row["id"], name, "counted", "FLOPs", "GFLOPs", published, lambda _: per_token / 1e9)


def _network(library: Library, row: Cells) -> Network:
    shape = _GPT.search(row["model"])
    if shape is None:
        network = library.network(row["model"].split(" (")[0])
        return network._replace(mtp_layers=0) if "w/o MTP" in row["model"] else network
    layers, hidden, heads = (int(value) for value in shape.groups()[:3])
    return Network(
        layers, hidden, 4 * hidden, heads, heads, hidden // heads, int(shape.group(4) or 51200),
        gated_ffn=False, biases=True, norm_vectors=2, positions=2048, dropout=True, tied=True,
    )  # fmt: skip


def _measured(row: Cells, gpus: int, per_token: float, length: float) -> float:
    metric, value = row["metric"], number(row, "value")
    if metric == "tokens_per_s_per_gpu":
        return value
    if metric == "iteration_time":
        return number(row, "gbs") * length / value / gpus
    if metric == "model_tflops_per_gpu":
        return value * 1e12 / per_token
    if metric == "hardware_tflops_per_gpu":
        shape = _GPT.search(row["model"])
        assert shape is not None
        layers, hidden, _, vocab = (int(found or 51200) for found in shape.groups()[:4])
        flops = 96 * layers * hidden**2 * (1 + length / (6 * hidden) + vocab / (16 * layers * hidden))
        return value * 1e12 / flops
    if metric == "gpu_hours_per_T_tokens":
        return 1e12 / value / 3600
    raise UnreadableError(f"{metric} is not a rate of a whole step")


def _trainer(network: Network, gpu: Gpu, row: Cells) -> Trainer:
    gpus, group = int(number(row, "gpus")), row["group"]
    tp, pp, cp, ep, vpp = (int(number(row, axis, 1)) for axis in ("tp", "pp", "cp", "ep", "vp"))
    dp = max(1, gpus // (tp * pp * cp))
    length = number(row, "seq")
    is_plain = group in _FSDP
    has_shards = row["fsdp"] not in ("", "0", "no") or group in _FSDP
    mbs = number(row, "mbs", 0) or max(1.0, number(row, "gbs", 0) // dp if group == "megatron-readme-h100" else 1.0)
    if group == "torchtitan" and pp > 1:
        micro, mbs = mbs, 1.0
    else:
        micro = max(1.0, number(row, "gbs", 0) / (dp * mbs)) if row["gbs"] else 1.0
    job = Job(
        network=network,
        layout=Layout(tp=tp, sp=tp > 1 and group != "sc21", pp=pp, vpp=vpp, cp=cp, ep=ep, dp=dp),
        storage=Storage(
            weight=4 if is_plain else 2,
            gradient=4 if gpu.memory_gib < _LARGE_GIB else 2,
            master=0 if is_plain else 4,
            shared="all" if has_shards else "none" if network.dropout and group != "megatron-readme-h100" else "state",
        ),
        recompute=_recompute(row["recompute"]),
        tokens=Tokens(mbs * length, mbs * length * length),
        loss=Loss("fused"),
        micro_batches=round(micro),
        kernels=Kernels(
            fuses_layers=not is_plain, fuses_attention=not network.dropout or group == "megatron-readme-h100"
        ),
    )
    if not re.match(r"full|selective|no\b|none", row["recompute"]):
        job = fitting(job, gpu)
    return Trainer(
        job=job,
        work=network_work(network),
        gpu=gpu,
        number=_format(row["precision"]),
        imbalance=_imbalance(row),
        sends_once=not _PLAIN.search(row["notes"]),
        hides_exchanges=bool(re.search("EP overlap|DualPipe", row["notes"])),
    )


def fitting(job: Job, gpu: Gpu) -> Job:
    """What is not said to be recomputed is what the memory of the GPU asks for: nothing, what is cheap, or layers."""
    for recompute in (Recompute(), _CHEAP, _ALL_BUT_ATTENTION, Recompute("full")):
        tried = job._replace(recompute=recompute)
        if total(fullest_stage(tried, CONSTANTS)[1]) / GIB + CONSTANTS.context_gib <= gpu.memory_gib:
            return tried
    return job._replace(recompute=Recompute("full"))


def _imbalance(row: Cells) -> float:
    return ROUTED_IMBALANCE if "natural routing" in row["notes"] else 1.0


def _format(precision: str) -> Format:
    return "fp8" if "fp8" in precision.lower() or "fp4" in precision.lower() else "bf16"


def _recompute(said: str) -> Recompute:
    if said == "full":
        return Recompute("full")
    kind, _, modules = said.partition(":")
    if kind == "selective":
        names = {"act": "moe_act"}
        return Recompute("selective", tuple(names.get(one.strip(), one.strip()) for one in modules.split(",")))
    if said.startswith("selective"):
        return Recompute("selective", ("core_attn",))
    return Recompute()
