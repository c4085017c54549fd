"""How long an optimizer step and a pass for log-probs take on the slowest stage of a pipeline, by what takes it.

A roofline: products and attention at a share of the GPU's peak, kernels that only move data at a share of its memory's
bandwidth, collectives at a share of their links', and a fixed time for the kernels of a layer.  A product of the
backward pass costs twice that of the forward pass, fused attention two and a half times, as it computes its scores
again (arXiv:2307.08691).  A pipeline waits (p - 1) / v micro-batches of its stage (arXiv:2104.04473, section 2).
Gradients are reduced, and weights gathered, while micro-batches are computed; what is left over is waited for.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.planner.memory.activations import ELEMENTWISE
from compiler.planner.memory.network import LayerKinds, layer_kinds
from compiler.planner.memory.pipeline import stage_layers
from compiler.planner.memory.static import Held, held_parameters, shared_parameters
from compiler.planner.memory.training import Job
from compiler.planner.time.constants import HOST_GB_PER_S, LINK_FRAC, PLAIN_ATTENTION_FRAC, UNPINNED_GB_PER_S, Rates
from compiler.planner.time.links import Group, exchange_seconds, gather_seconds, send_seconds
from compiler.planner.time.speed import Format, attention_rate, memory_rate, product_rate
from compiler.planner.time.work import NetworkWork, Work, activated_work, add, raised_work

_HALF = 2  # bytes of a number in bf16
_TILE = 128  # rows of a product that one block of threads computes
_SCORE_BYTES = 14.0  # of attention that is not fused: scores, softmax and dropout, written and read in turn
_UNFUSED = 2.0  # reads and writes of norms and activations in plain PyTorch, over fused ones
_BACKWARD, _ATTENTION_BACKWARD = 2.0, 2.5


class Trainer(NamedTuple):
    """A training job on GPUs, and what its time depends on beside what its memory does.

    Args:
        work: that of the job's network, counted once for many layouts.
        number: format of the products.
        imbalance: routed tokens of the fullest GPU of an expert group over the average.
        sends_once: whether tokens are sent to experts by a dispatcher that sends none twice to one place.
        hides_exchanges: whether one micro-batch is computed while the tokens of another are on their way to experts.
    """

    job: Job
    work: NetworkWork
    gpu: Gpu
    number: Format = "bf16"
    imbalance: float = 1.0
    sends_once: bool = False
    hides_exchanges: bool = False


class Pass(NamedTuple):
    """Seconds of one micro-batch's way through a part of a network, on one GPU."""

    products: float = 0.0
    experts: float = 0.0
    attention: float = 0.0
    moving: float = 0.0
    launches: float = 0.0
    tensor_parallel: float = 0.0
    expert_parallel: float = 0.0
    context_parallel: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self)


class TrainSeconds(NamedTuple):
    """Seconds of an optimizer step, or of a pass without gradients, by what takes them."""

    products: float
    experts: float
    attention: float
    moving: float
    launches: float
    tensor_parallel: float
    expert_parallel: float
    context_parallel: float
    pipeline: float
    data_parallel: float
    optimizer: float

    @property
    def total(self) -> float:
        """All of them."""
        return sum(self)


def train_seconds(trainer: Trainer, rates: Rates) -> TrainSeconds:
    """Return the seconds of one optimizer step: all micro-batches of a copy of the model, and the update."""
    job = trainer.job
    forward, backward = _slowest(trainer, rates)
    both = Pass._make([a + b for a, b in zip(forward, backward, strict=True)])
    pipeline = _waiting(trainer, both) + job.micro_batches * _sent(trainer) * 2
    dense, routed = _held(job)
    exchanged = _exchanged(trainer, dense, routed, both.total, backward.total)
    updated = _update(trainer, dense, routed, rates)
    times = [seconds * job.micro_batches for seconds in both]
    return TrainSeconds._make((*times, pipeline, exchanged, updated))


def scoring_seconds(trainer: Trainer, rates: Rates) -> TrainSeconds:
    """Return the seconds of a pass for log-probs over all micro-batches of an optimizer step."""
    forward = _forward(trainer, *_stage_work(trainer), rates)
    job = trainer.job
    pipeline = _waiting(trainer, forward) + job.micro_batches * _sent(trainer)
    gathered = 0.0
    if job.storage.shared == "all":
        dense, routed = _held(job)
        fetched = max(_weights_gathered(trainer, dense, routed), _from_host(trainer, dense, routed, 1.0))
        gathered = max(0.0, fetched - forward.total) * job.micro_batches
    times = [seconds * job.micro_batches for seconds in forward]
    return TrainSeconds._make((*times, pipeline, gathered, 0.0))


def train_flops(trainer: Trainer) -> float:
    """Return the FLOPs of the model for one micro-batch of all its GPUs: three forward passes, nothing twice."""
    job, work = trainer.job, trainer.work
    whole = add(
        (work.layers(layer_kinds(job.network, 0, job.network.num_layers)), 1), (work.head, 1), (work.prediction, 1)
    )
    return 3 * whole.flops(job.tokens.count, job.tokens.pairs)


def _slowest(trainer: Trainer, rates: Rates) -> tuple[Pass, Pass]:
    """A micro-batch's forward and backward pass on the slowest stage, with what is computed again."""
    kinds, work, head = _stage_work(trainer)
    forward = _forward(trainer, kinds, work, head, rates)
    backward = Pass(
        forward.products * _BACKWARD,
        forward.experts * _BACKWARD,
        forward.attention * _ATTENTION_BACKWARD,
        forward.moving * _BACKWARD,
        forward.launches * _BACKWARD,
        forward.tensor_parallel,
        forward.expert_parallel,
        forward.context_parallel * 2,
    )
    again = _again(trainer, kinds, work, forward, rates)
    return forward, Pass._make([a + b for a, b in zip(backward, again, strict=True)])


def _stage_work(trainer: Trainer) -> tuple[LayerKinds, Work, Work]:
    """The layers of the slowest stage, their work, and that of the head where it has one.

    With several chunks of layers a stage, layers are laid out so that the head counts as some of them.
    """
    job, work = trainer.job, trainer.work
    network, layout = job.network, job.layout
    ends = add((work.head, 1), (work.prediction, 1))
    if layout.pp == 1 or layout.vpp > 1:
        share = 1 / layout.pp
        kinds = layer_kinds(network, 0, network.num_layers).times(share)
        return kinds, work.layers(kinds), add((ends, share))
    found = []
    for stage in sorted({0, min(1, layout.pp - 1), layout.pp - 1}):
        kinds = stage_layers(network, layout, stage)
        found.append((kinds, work.layers(kinds), ends if stage == layout.pp - 1 else Work()))
    count, pairs = job.tokens.count, job.tokens.pairs
    return max(found, key=lambda one: one[1].flops(count, pairs) + one[2].flops(count, pairs))


def _forward(trainer: Trainer, kinds: LayerKinds, work: Work, head: Work, rates: Rates) -> Pass:
    job, gpu = trainer.job, trainer.gpu
    layout, hidden = job.layout, job.network.hidden
    here = job.tokens.count / layout.cp
    narrow = add((work, 1), (head, 1))
    tp = Group(layout.tp)
    gathered = gather_seconds(tp, here * hidden * _HALF, gpu, LINK_FRAC)
    collectives = 2 * (kinds.all + kinds.dense) + (1 if head.split else 0)
    pairs = job.tokens.pairs / layout.cp / layout.tp
    attention = work.pair * pairs / attention_rate(gpu, rates)
    if job.kernels.is_plain_attention or not job.kernels.fuses_layers:
        attention /= PLAIN_ATTENTION_FRAC
    if not job.kernels.fuses_attention:
        attention += _SCORE_BYTES * job.network.heads * pairs * kinds.full / memory_rate(gpu, rates)
    products, experts = _products(trainer, narrow, here, rates), _experts(trainer, kinds, work, here, rates)
    exchanged = kinds.sparse * 2 * _exchange(trainer, here)
    if trainer.hides_exchanges:
        exchanged = max(0.0, exchanged - products - experts - attention)
    return Pass(
        products=products,
        experts=experts,
        attention=attention,
        moving=_moving(trainer, narrow, here, rates),
        launches=(kinds.all * rates.layer_us + kinds.sparse * rates.expert_layer_us) * 1e-6,
        tensor_parallel=collectives * gathered,
        expert_parallel=exchanged,
        context_parallel=max(0.0, _ring(trainer, kinds, here) - attention),
    )


def _products(trainer: Trainer, work: Work, here: float, rates: Rates) -> float:
    layout = trainer.job.layout
    flops = work.split * here / layout.tp + work.copied * here / layout.sequence_ways
    return flops / product_rate(trainer.gpu, trainer.number, rates)


def _experts(trainer: Trainer, kinds: LayerKinds, work: Work, here: float, rates: Rates) -> float:
    """Products of experts: padded to whole tiles, and no quicker than their weights are read."""
    job, gpu = trainer.job, trainer.gpu
    moe, layout = job.network.moe, job.layout
    if isinstance(moe, Off) or not kinds.sparse:
        return 0.0
    routed = here / layout.tp * moe.experts_per_token * trainer.imbalance
    each = routed * layout.ep * layout.etp / moe.num_experts
    flops = work.routed * here / layout.tp * trainer.imbalance * (1 + _TILE / 2 / max(each, 1.0))
    computed = flops / product_rate(gpu, trainer.number, rates)
    numbers = 3 * job.network.hidden * moe.expert_size * moe.num_experts / (layout.ep * layout.etp)
    read = kinds.sparse * numbers * _HALF / memory_rate(gpu, rates)
    return max(computed, read)


def _moving(trainer: Trainer, work: Work, here: float, rates: Rates) -> float:
    job, gpu = trainer.job, trainer.gpu
    layout = job.layout
    size = (
        work.inside + work.moved * trainer.imbalance
    ) * here / layout.tp + work.outside * here / layout.sequence_ways
    if not job.kernels.fuses_layers:
        size *= _UNFUSED
    if trainer.number == "fp8" and gpu.fp8_tflops:
        size += 4 * work.cast * here / layout.tp  # read in bf16, written twice, for products of both passes
    return size / memory_rate(gpu, rates)


def _exchange(trainer: Trainer, here: float) -> float:
    """One of the two exchanges of a layer of experts."""
    job, layout = trainer.job, trainer.job.layout
    moe = job.network.moe
    if isinstance(moe, Off):
        return 0.0
    size = here / layout.tp * job.network.hidden * _HALF
    group = Group(layout.ep, layout.etp)
    split = gather_seconds(Group(layout.etp), size * layout.etp * moe.experts_per_token, trainer.gpu, LINK_FRAC)
    exchanged = exchange_seconds(
        group, size, moe.experts_per_token, trainer.gpu, LINK_FRAC, sends_once=trainer.sends_once
    )
    return split + exchanged * trainer.imbalance


def _ring(trainer: Trainer, kinds: LayerKinds, here: float) -> float:
    """Keys and values of all other parts of a sequence on their way around, in a forward pass."""
    job, layout = trainer.job, trainer.job.layout
    if layout.cp == 1:
        return 0.0
    network, mla = job.network, job.network.mla
    width = network.kv_heads * network.head_dim * 2
    if not isinstance(mla, Off):
        width = network.heads * (mla.qk_nope_dim + mla.qk_rope_dim + mla.v_head_dim)
    size = here * layout.cp * width * _HALF / layout.tp
    return kinds.full * gather_seconds(Group(layout.cp, layout.tp), size, trainer.gpu, LINK_FRAC)


def _again(trainer: Trainer, kinds: LayerKinds, work: Work, forward: Pass, rates: Rates) -> Pass:
    """What the backward pass computes a second time; the head is not among it."""
    recompute = trainer.job.recompute
    here = trainer.job.tokens.count / trainer.job.layout.cp
    if recompute.granularity == "none":
        return Pass()
    if recompute.granularity == "full":
        share = 1.0
        if recompute.method == "block" and kinds.all:
            share = min(1.0, recompute.num_layers * trainer.job.layout.vpp / kinds.all)
        whole = forward._replace(
            products=_products(trainer, work, here, rates), moving=_moving(trainer, work, here, rates)
        )
        return Pass._make([seconds * share for seconds in whole])
    modules = recompute.modules
    if ELEMENTWISE in modules:
        return Pass(moving=_moving(trainer, work, here, rates), launches=forward.launches)
    of_experts = "moe" in modules
    parts = trainer.work
    mlp = _products(trainer, add((parts.dense, kinds.dense)), here, rates) if "mlp" in modules else 0.0
    small = Work(outside=4.0 * trainer.job.network.hidden * kinds.all) if "layernorm" in modules else Work()
    raised = Work()
    if "mla_up_proj" in modules:
        raised = add((raised_work(trainer.job.network), kinds.full))
    if "moe_act" in modules and not of_experts:
        small = add((small, 1), (activated_work(trainer.job.network), kinds.sparse))
    return Pass(
        products=mlp + _products(trainer, raised, here, rates),
        experts=forward.experts if of_experts else 0.0,
        attention=forward.attention if "core_attn" in modules else 0.0,
        moving=_moving(trainer, add((small, 1), (raised, 1)), here, rates),
        expert_parallel=forward.expert_parallel if of_experts else 0.0,
    )


def _waiting(trainer: Trainer, one: Pass) -> float:
    """The time in which a pipeline fills and drains: p - 1 micro-batches of a stage, over its chunks of layers."""
    layout = trainer.job.layout
    return (layout.pp - 1) / layout.vpp * one.total


def _sent(trainer: Trainer) -> float:
    """Seconds of one micro-batch's activations on their way to the next stage, where no chunk of layers hides them."""
    job, layout = trainer.job, trainer.job.layout
    if layout.pp == 1 or layout.vpp > 1:
        return 0.0
    size = job.tokens.count / layout.cp / layout.sequence_ways * job.network.hidden * _HALF
    stage = layout.tp * layout.cp * layout.dp
    return send_seconds(size, trainer.gpu, LINK_FRAC, is_inside=stage * 2 <= max(1, trainer.gpu.scaleup_gpus))


def _held(job: Job) -> Held:
    """The parameters of the fullest stage, before copies share them."""
    return max(
        (held_parameters(job.network, job.layout, stage) for stage in {0, job.layout.pp - 1}),
        key=lambda held: held.total,
    )


def _groups(trainer: Trainer) -> tuple[Group, Group]:
    """Copies of the dense weights, and copies of the experts."""
    layout, storage = trainer.job.layout, trainer.job.storage
    groups = storage.sharding.groups if storage.shared == "all" else 1
    copies, expert_copies = max(1, layout.copies // groups), max(1, int(layout.expert_copies / groups))
    return Group(copies, layout.tp), Group(expert_copies, layout.ep * layout.etp)


def _weights_gathered(trainer: Trainer, dense: float, routed: float) -> float:
    """Gathering the weights of a stage, in bf16."""
    (copies, expert_copies), gpu = _groups(trainer), trainer.gpu
    return gather_seconds(copies, dense * _HALF, gpu, LINK_FRAC) + gather_seconds(
        expert_copies, routed * _HALF, gpu, LINK_FRAC
    )


def _exchanged(trainer: Trainer, dense: float, routed: float, both: float, backward: float) -> float:
    """What copies of the model wait for one another, once what computing hides is taken off.

    Weights that are shared are gathered for each pass of each micro-batch and their gradients reduced once; else
    gradients are reduced during the last backward pass, and new weights gathered during the next forward pass.
    """
    job = trainer.job
    copies, expert_copies = _groups(trainer)
    if job.storage.shared == "all":
        summed = _summed(trainer, dense, routed)
        each, last = (_sharded(trainer, dense, routed, both, more) for more in (0.0, summed))
        return each * (job.micro_batches - 1) + last
    if copies.size == 1 and expert_copies.size == 1:
        return 0.0
    gathered = _weights_gathered(trainer, dense, routed)
    reduced = gathered / _HALF * job.storage.gradient
    hidden = min(reduced, backward / max(1, job.layout.vpp)) + min(gathered, (both - backward) / max(1, job.layout.vpp))
    return max(0.0, reduced + gathered - hidden)


def _summed(trainer: Trainer, dense: float, routed: float) -> float:
    """The sum over groups of shards of what each has summed up, once for a step: each GPU its own shard."""
    sharding = trainer.job.storage.sharding
    seconds = 0.0
    for group, held in zip(_groups(trainer), (dense, routed), strict=True):
        over = Group(sharding.groups, group.stride * group.size)
        seconds += 2 * gather_seconds(over, held / group.size * sharding.reduced, trainer.gpu, LINK_FRAC)
    return seconds * trainer.job.storage.trained


def _sharded(trainer: Trainer, dense: float, routed: float, both: float, summed: float) -> float:
    """What a micro-batch waits for where copies share everything.

    For the backward pass a GPU gathers the share of weights that it did not keep.  Host memory that is not pinned is
    not copied from while anything is computed.
    """
    job, sharding = trainer.job, trainer.job.storage.sharding
    gathered = _weights_gathered(trainer, dense, routed)
    reduced = gathered / _HALF * sharding.reduced * job.storage.trained
    exchanged = gathered * (2 - sharding.kept_frac) + reduced + summed
    copied = _from_host(trainer, dense, routed, 2 - sharding.kept_frac + job.storage.trained)
    if not sharding.is_pinned:
        return copied + max(0.0, exchanged - both)
    return max(0.0, max(exchanged, copied) - both)


def _from_host(trainer: Trainer, dense: float, routed: float, times: float) -> float:
    """Copies of a GPU's shards from host memory, or to it."""
    storage = trainer.job.storage
    if not storage.sharding.is_on_host:
        return 0.0
    size = shared_parameters(Held(dense, routed), trainer.job.layout, storage) * storage.weight * times
    return size / ((HOST_GB_PER_S if storage.sharding.is_pinned else UNPINNED_GB_PER_S) * 1e9)


def _update(trainer: Trainer, dense: float, routed: float, rates: Rates) -> float:
    """Reading gradients, and reading and writing what the optimizer keeps; what lies on the host crosses its link.

    An optimizer that runs on the host has a GPU's share of its memory's bandwidth, which is about that of the link.
    """
    job = trainer.job
    storage, layout = job.storage, job.layout
    count = dense + routed
    if storage.shared != "none":
        count = shared_parameters(Held(dense, routed), layout, storage)
    count *= storage.trained
    size = count * (2 * storage.gradient + 2 * (storage.master + storage.moments) + storage.weight)
    on_host = count * storage.offloaded_frac * (storage.gradient + storage.weight)
    if storage.sharding.is_on_host:
        return size / (HOST_GB_PER_S * 1e9)
    moved = size / memory_rate(trainer.gpu, rates)
    return moved + on_host / (HOST_GB_PER_S * 1e9)
