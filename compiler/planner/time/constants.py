"""The numbers of the model of time that were measured and not counted, a dozen.

Each has a physical meaning and a unit.  `python -m checks.planner --fit` finds those that are marked as fitted again,
on the sources that it fits on; the others are what pages of vendors and of frameworks say.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple


class Rates(NamedTuple):
    """What is not counted from the facts of a model and of a GPU.

    Args:
        product_frac: fitted; share of a GPU's peak that a large product of matrices reaches, in any format.
        experts_frac: fitted; share of that which products of experts reach, group by group.
        attention_frac: fitted; share of the bf16 peak that fused attention reaches.
        memory_frac: fitted; share of the memory's bandwidth that a kernel reaches that only moves data.
        link_frac: share of a link's bandwidth that a collective reaches (0.7 is Primus' collective_args.py).
        exposed_frac: fitted; share of tensor-parallel communication that no product hides.
        layer_us: fitted; microseconds that a layer's kernels take to start and end, for one pass of a micro-batch.
        hop_us: fitted; latency of one collective among the GPUs of an engine, in microseconds.
        decode_layer_us: fitted; microseconds that a layer's kernels take to start and end while a token is decoded.
        sequence_us: fitted; microseconds that an engine samples and schedules for each sequence and token.
        tensor_ms: fitted; milliseconds that handing over one tensor of the weights takes, whatever its size.
        host_gb_per_s: between a GPU and the host's memory, in each direction (PCIe 5 x16 reaches 50 to 55).
    """

    product_frac: float = 0.65
    experts_frac: float = 0.7
    attention_frac: float = 0.5
    memory_frac: float = 0.8
    link_frac: float = 0.7
    exposed_frac: float = 0.5
    layer_us: float = 150.0
    hop_us: float = 10.0
    decode_layer_us: float = 60.0
    sequence_us: float = 10.0
    tensor_ms: float = 0.5
    host_gb_per_s: float = 50.0


RATES = Rates()
