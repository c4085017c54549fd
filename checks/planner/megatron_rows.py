"""Jobs of Megatron's own functional tests, whose golden values hold memory: memory_measured_megatron_ci.csv.

They are logged by the last rank, so they are of the last pipeline stage: with four stages of interleaved chunks the
figure has as many chunks in it as that rank has under way.  Networks are GPTs with LayerNorm, biases, learned
positions, GELU and dropout unless a row says otherwise; the vocabulary is GPT-2's where none is named, padded to a
multiple of 128 x tp.  `vpp` counts the layers of a chunk, or behind `V=` the chunks of a rank.
"""

from __future__ import annotations

from collections.abc import Iterator

from checks.planner.comparison import Cells, Comparison, UnreadableError, number, peak_gib, static_gib
from compiler.ir.model import LatentAttention, Moe
from compiler.ir.openness import OFF
from compiler.planner.memory.activations import Kernels, Recompute, Tokens
from compiler.planner.memory.constants import Constants
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.network import Network
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Storage
from compiler.planner.memory.training import Job

GPT2_VOCAB, LLAMA2_VOCAB = 50_257, 32_000
_ASSUMED_GPUS = 8  # one machine, where nobody says how many

# What the tests of DeepSeek's architecture set and the table leaves out: the ranks of latent attention, and the
# multiple that the vocabulary is padded to.  NVIDIA/Megatron-LM, model_config.yaml beside the golden values.
_DEEPSEEK_QUERY_RANK, _DEEPSEEK_KEY_RANK, _DEEPSEEK_PADDING = 1536, 512, 3232


def job_of(row: Cells) -> Job:
    """Return the job of a row."""
    if row["model_kind"] not in ("dense", "moe"):
        raise UnreadableError(f"a network of kind {row['model_kind']}")
    layout = _layout(row)
    network = _network(row, layout)
    storage = _storage(row)
    batch, length = number(row, "mbs"), number(row, "seq")
    return Job(
        network=network,
        layout=layout,
        storage=storage,
        recompute=_recompute(row),
        tokens=Tokens(count=batch * length, pairs=batch * length * length),
        loss=Loss("parallel"),
        micro_batches=max(1, int(number(row, "gbs") // (batch * layout.dp))),
        kernels=Kernels(fuses_attention=_is_fused(row)),
        has_new_kernels=row["platform"] in ("H100-80", "GB200"),
        groups_experts="_te_4experts2parallel" not in row["case"],
    )


def compare(row: Cells) -> Iterator[Comparison[Constants]]:
    """Yield both figures of a row: what the last rank holds after a step, and the most that it held."""
    job, name, source = job_of(row), row["case"].split("/")[-1], row["source"].split(" ")[0]
    last = job.layout.pp - 1
    label = f"{name} {row['platform']}"
    static, peak = number(row, "static_alloc_GiB"), number(row, "peak_alloc_GiB")
    yield Comparison(row["id"], label, source, "static", "GiB", static, static_gib(job, last))
    yield Comparison(row["id"], label, source, "peak", "GiB", peak, peak_gib(job, last))


def _layout(row: Cells) -> Layout:
    tp, pp, cp, ep = (int(number(row, axis, 1)) for axis in ("tp", "pp", "cp", "ep"))
    gpus = number(row, "gpus_total", 0) or number(row, "gpus_inferred", 0)
    copies = int(gpus // (tp * pp * cp)) if gpus else int(number(row, "dp_derived", 0))
    if not copies:
        copies = _ASSUMED_GPUS // (tp * pp * cp)
    layers = int(number(row, "num_layers"))
    return Layout(
        tp=tp,
        sp=row["sp"] == "True",
        pp=pp,
        vpp=_chunks(row, layers, pp),
        cp=cp,
        ep=ep,
        etp=int(number(row, "etp", tp)),
        dp=copies,
    )


def _chunks(row: Cells, layers: int, pp: int) -> int:
    """Return the chunks of a rank."""
    said = row["vpp"]
    if row["pp_layout"]:
        return 4  # Et*3|(tt|)*6tmL: eight groups on two ranks
    if said.startswith("V="):
        return int(said[2:])
    return max(1, layers // (pp * int(said))) if said else 1


def _network(row: Cells, layout: Layout) -> Network:
    heads, hidden = int(number(row, "heads")), int(number(row, "hidden"))
    channels = int(number(row, "kv_channels", hidden // heads))
    is_gpt = row["swiglu"] != "True"
    ffn = int(number(row, "ffn", 4 * hidden))
    has_learned = is_gpt and "rope" not in row["case"]
    return Network(
        num_layers=int(number(row, "num_layers")),
        hidden=hidden,
        ffn=ffn,
        heads=heads,
        kv_heads=int(number(row, "kv_groups", heads)),
        head_dim=channels,
        vocab=_padded(_vocabulary(row), (_DEEPSEEK_PADDING if _is_deepseek(row) else 128) * layout.tp),
        tied=row["untied"] != "True",
        moe=_experts(row, ffn) if row["model_kind"] == "moe" else OFF,
        mla=_latent(row) if row["mla"] == "True" else OFF,
        mtp_layers=int(number(row, "mtp", 0)),
        gated_ffn=not is_gpt,
        biases=is_gpt,
        norm_vectors=2 if is_gpt else 1,
        positions=int(number(row, "seq")) if has_learned else 0,
        dropout=not row["dropout"].startswith("0.0"),
    )


def _vocabulary(row: Cells) -> int:
    note = row["vocab_note"]
    if note.isdecimal():
        return int(note)
    return LLAMA2_VOCAB if "lama2" in note else GPT2_VOCAB


def _padded(count: int, unit: int) -> int:
    return -(-count // unit) * unit


def _experts(row: Cells, ffn: int) -> Moe:
    layers = row["moe_layer_freq"].strip("()")
    return Moe(
        num_experts=int(number(row, "num_experts")),
        experts_per_token=int(number(row, "topk", 2)),
        expert_size=int(number(row, "moe_ffn", ffn)),
        shared_expert_size=int(number(row, "shared_ffn")) if row["shared_ffn"] else OFF,
        num_dense_layers=int(layers.split("*")[1].split("+")[0]) if layers.startswith("[0]*") else 0,
    )


def _latent(row: Cells) -> LatentAttention:
    """Megatron's defaults, or what its tests of DeepSeek's architecture set."""
    if _is_deepseek(row):
        return LatentAttention(
            q_lora_rank=_DEEPSEEK_QUERY_RANK,
            kv_lora_rank=_DEEPSEEK_KEY_RANK,
            qk_nope_dim=128,
            qk_rope_dim=64,
            v_head_dim=128,
        )
    return LatentAttention(kv_lora_rank=32, qk_nope_dim=128, qk_rope_dim=64, v_head_dim=128)


def _is_deepseek(row: Cells) -> bool:
    return row["mla"] == "True" and row["model_kind"] == "moe"


def _storage(row: Cells) -> Storage:
    shared = "all" if row["fsdp"] else "state" if row["dist_opt"] == "True" else "none"
    if row["precision"] == "fp16" and shared == "none":
        return Storage(gradient=6, shared=shared)  # in fp16, and in fp32 for the master weights
    return Storage(shared=shared, quantised_copies=2.0 if "fp8" in row["precision"] else 0.0)


def _is_fused(row: Cells) -> bool:
    """Whether attention is fused: not where a test says so, nor in Megatron's own layers, which name no `te`."""
    if row["attn_backend"]:
        return row["attn_backend"] != "unfused"
    return "gpt3_mcore_tp" not in row["case"]


def _recompute(row: Cells) -> Recompute:
    said = row["recompute"]
    if said.startswith("selective"):
        return Recompute("selective", tuple(said.partition("[")[2].rstrip("]").split()) or ("core_attn",))
    if said.startswith("full"):
        _, method, layers = said.split(":")
        return Recompute("full", method=method, num_layers=int(layers))
    return Recompute()
