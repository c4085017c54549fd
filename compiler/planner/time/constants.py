"""The numbers of the model of time that were measured and not counted, nine.

Each has a physical meaning and a unit.  `python -m checks.planner --fit` finds them again, on the sources that it fits
on; those below are what pages of vendors and of frameworks say.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple


class Rates(NamedTuple):
    """What is not counted from the facts of a model and of a GPU.

    Args:
        product_frac: share of a GPU's bf16 peak that a large product of matrices reaches.
        eight_bits_frac: share that products of eight and four bits reach of their peak, over product_frac.
        attention_frac: share of the bf16 peak that fused attention reaches.
        memory_frac: share of the memory's bandwidth that a kernel reaches that only moves data.
        layer_us: microseconds that a layer's kernels take to start and end, for one pass of a micro-batch.
        expert_layer_us: microseconds more where the layer has experts: sorting, exchanges, many products.
        decode_layer_us: microseconds that a layer's kernels take to start and end while a token is decoded.
        hop_us: latency of one collective among the GPUs of an engine, in microseconds.
        sequence_us: microseconds that an engine samples and schedules for each sequence and token.
    """

    product_frac: float = 0.78
    eight_bits_frac: float = 0.848
    attention_frac: float = 0.46
    memory_frac: float = 0.839
    layer_us: float = 300.0
    expert_layer_us: float = 636.0
    decode_layer_us: float = 49.0
    hop_us: float = 10.2
    sequence_us: float = 40.4


RATES = Rates()

# What is written down elsewhere and not measured here.
LINK_FRAC = 0.8  # of a link, that a collective of many megabytes reaches: NCCL's own tests on NVLink and on InfiniBand
NETWORK_HOPS = (
    4.4  # latency of a collective beyond a domain, over that within: 2 to 0.45 us (Primus, collective_args.py)
)
HOST_GB_PER_S = 50.0  # of pinned memory that is kept, in each direction: PCIe 5 x16 reaches 50 to 55
UNPINNED_GB_PER_S = (
    2.8  # of memory that is not pinned: tensors moved one by one on an H200 (SGLang, pull request 32032)
)
# What a side that makes room for the other reaches of it, to the host and back: torch_memory_saver, which SGLang and
# slime pause with (its issue 111: 2.41 and 5.32 GiB/s, where plain copies of pinned memory reach 24).  Tensors that are
# moved one by one to memory that is not pinned reach 2.8 GB/s on an H200 (SGLang, pull request 32032).
PAUSE_GB_PER_S, RESUME_GB_PER_S = 2.6, 5.7
# Drafts of a further layer that are kept, each where those before it are: one draft makes DeepSeek-V3's rollouts 1.43
# times as quick (NeMo-RL, pull request 2779), which is this share by what a step then computes.
DRAFT_ACCEPTED_FRAC = 0.7
# Of each sample, from the engines to the trainer's ranks: collected, scored by rules, packed and sent.  NeMo-RL's steps
# of 2,048 samples are 3 s longer than their phases, with 8 and with 70 billion parameters (its issue 959).
SAMPLE_MS = 1.5
TENSOR_MS = 0.35  # of handing over one tensor, in buckets: slime 0.1 takes 7 s for the 18,600 tensors of Qwen3-30B-A3B
ROUTED_IMBALANCE = 1.5  # tokens of the busiest GPU of an expert group over the average, where nothing balances them
# Of what products of NVIDIA's GPUs reach of their peak: 8192^3 in bf16 runs at 724 to 765 of 1307 TFLOP/s on an MI300X
# (Primus, docs of its node smoke test), and at about 720 of 989 on an H100.
VENDOR_FRAC = {"nvidia": 1.0, "amd": 0.77}
# Fused attention of plain PyTorch on Hopper and later, over that of cuDNN: FlashAttention-2 runs at 35 % of the peak,
# -3 at 75 % (arXiv:2407.08608).
PLAIN_ATTENTION_FRAC = 0.5
