"""How long a rollout takes: the time of a token, summed up while the batch of an engine drains.

Decoding reads the weights once a step, however many sequences there are, and the keys and values of each; of experts
those that are visited, which are almost all of them from a few dozen sequences on.  Products of few rows read and
compute in turn, so both count.  To that come the kernels of a layer, the collectives of an engine of several GPUs, and
sampling.  Sequences beyond what an engine holds at once wait until others are done; at the end a few long ones run
alone.
"""

from __future__ import annotations

from heapq import heappop, heappush

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import Off
from compiler.planner.memory.network import (
    LayerKinds,
    Network,
    attention_parameters,
    head_parameters,
    kinds_parameters,
    layer_kinds,
)
from compiler.planner.time.constants import LINK_FRAC, NETWORK_HOPS, ROUTED_IMBALANCE, Rates
from compiler.planner.time.lengths import Class, Lengths, classes_of
from compiler.planner.time.links import Group, bandwidth, exchange_seconds, ring_bytes
from compiler.planner.time.speed import Format, attention_rate, memory_rate, product_rate
from compiler.planner.time.work import NetworkWork, add

_HALF = 2  # bytes of a number in bf16
_EXPERT_KERNELS = 0.6  # kernels of a layer of experts beyond those of a dense one, of its eleven: to route and to sort
_BLOCK, _STAGES_TO_FILL = 64, 2  # numbers of a turn of a kernel's loop, and turns that fill its pipeline of three
_WAVES = 4  # of an engine's slots that are followed response by response; before, the mixture is that of any time


class Sampler(NamedTuple):
    """One rollout engine.

    Args:
        gpus: of the engine.
        weight_bytes: of a number of the layers' matrices; tables and norms have two.
        cache_bytes: of a cached number.
        number: format of the products.
        copies_attention: whether each GPU has all of attention and its own sequences (DP attention).
        capacity_tokens: tokens whose keys and values it holds.
        concurrency: sequences that it decodes at once, at most.
        drafts: tokens that one further layer drafts for a sequence and step, one after the other.
        drawn: tokens that a sequence gets of one step; more than one with drafts that are verified.
    """

    network: Network
    work: NetworkWork
    gpu: Gpu
    gpus: int
    capacity_tokens: float
    concurrency: int
    weight_bytes: float = 2
    cache_bytes: float = 2
    number: Format = "bf16"
    copies_attention: bool = False
    drafts: int = 0
    drawn: float = 1.0


class DecodeCosts(NamedTuple):
    """Seconds of a decode step of one engine, term by term, so that a step is a few products.

    Args:
        fixed: kernels and latencies, whatever is decoded.
        read: the weights that every step reads.
        read_experts: those of all experts.
        visited: share of the experts that one sequence visits.
        product: products of one sequence, without experts.
        expert: products of one sequence's experts.
        cached: keys and values of one token, read.
        scored: scores and weighted values of one cached token.
        sequence: sampling and communication of one sequence.
        tokens: of one sequence that a step computes, drafts being verified together.
    """

    fixed: float
    read: float
    read_experts: float
    visited: float
    product: float
    expert: float
    cached: float
    scored: float
    sequence: float
    tokens: float = 1.0

    def seconds(self, sequences: float, context: float) -> float:
        """Return the seconds of one step over so many sequences with so many cached tokens altogether."""
        reached = 1 - (1 - self.visited) ** (sequences * self.tokens)
        return (
            self.fixed
            + self.read
            + self.read_experts * reached
            + (self.product + self.expert) * sequences
            + max(self.cached, self.scored) * context
            + self.sequence * sequences
        )


def decode_costs(sampler: Sampler, rates: Rates) -> DecodeCosts:
    """Return what a step of an engine costs.

    With drafts, a step computes all of them and one token more at once, after one layer and the head have gone over
    each draft alone.
    """
    network, work, gpu, gpus = sampler.network, sampler.work, sampler.gpu, sampler.gpus
    kinds = layer_kinds(network, 0, network.num_layers)
    layers = work.layers(kinds)
    moved = memory_rate(gpu, rates)
    computed = product_rate(gpu, sampler.number, rates)
    parts = kinds_parameters(network, kinds)
    drafts = sampler.drafts
    tokens = 1 + drafts
    once, each = 1 + drafts / kinds.all, tokens + drafts / kinds.all  # passes over a layer, and tokens of them
    head = head_parameters(network).split * _HALF / gpus
    weights = (_read_bytes(sampler, kinds) - head) * once + head * tokens
    flops = add((layers, each), (work.head, tokens + drafts))
    moe = network.moe
    collectives, sequence = _collectives(sampler, kinds, rates)
    launched = (kinds.all + kinds.sparse * _EXPERT_KERNELS) * rates.decode_layer_us
    return DecodeCosts(
        fixed=(launched + collectives * _hop_us(sampler, rates)) * once * 1e-6,
        read=weights / moved,
        read_experts=parts.routed * sampler.weight_bytes / gpus / moved * _filled(sampler) * once,
        visited=0.0 if isinstance(moe, Off) else min(1.0, moe.experts_per_token / moe.num_experts),
        product=(flops.split + flops.copied) / gpus / computed,
        expert=flops.routed * _imbalance(sampler) / gpus / computed,
        cached=cached_bytes(sampler) / gpus / moved * once,
        scored=_scores(network) * kinds.full / gpus / attention_rate(gpu, rates) * each,
        sequence=sequence * each + rates.sequence_us * 1e-6 / (gpus if sampler.copies_attention else 1),
        tokens=tokens,
    )


def drawn_tokens(drafts: int, accepted_frac: float) -> float:
    """Return the tokens that a step gives a sequence, where each draft is kept with this chance if those before it are.

    Paper: arXiv:2211.17192, equation 1.
    """
    return sum(accepted_frac**n for n in range(drafts + 1))


def prefill_seconds(sampler: Sampler, tokens: float, length: float, rates: Rates) -> float:
    """Return how long an engine reads prompts of so many tokens altogether, of a mean length."""
    network, gpu, gpus = sampler.network, sampler.gpu, sampler.gpus
    layers = sampler.work.layers(layer_kinds(network, 0, network.num_layers))
    computed = product_rate(gpu, sampler.number, rates)
    kinds = layer_kinds(network, 0, network.num_layers)
    _, sequence = _collectives(sampler, kinds, rates)
    each = (layers.split + layers.copied) / gpus / computed + layers.routed * _imbalance(sampler) / gpus / computed
    each += layers.pair * length / gpus / attention_rate(gpu, rates)
    each += (layers.inside / gpus + layers.outside + layers.moved / gpus) / (memory_rate(gpu, rates))
    return tokens * (each + sequence)


def _filled(sampler: Sampler) -> float:
    """Time of reading experts over that at full rate: a kernel that goes through k blocks takes k + 2 turns.

    Two of the three products of an expert go through the hidden size, and one through the part of the expert's own
    width that a GPU has: where an engine of many GPUs splits experts, it is few blocks.
    """
    moe, network = sampler.network.moe, sampler.network
    if isinstance(moe, Off):
        return 1.0
    width = moe.expert_size if sampler.copies_attention else moe.expert_size / sampler.gpus
    ways = ((2, network.hidden), (1, width))
    return sum(share * (1 + _STAGES_TO_FILL * _BLOCK / size) for share, size in ways) / 3


def _imbalance(sampler: Sampler) -> float:
    return ROUTED_IMBALANCE if sampler.copies_attention and sampler.gpus > 1 else 1.0


def slots_of(sampler: Sampler, length: float) -> float:
    """Return the sequences that an engine decodes at once, where each has so many cached tokens on average."""
    return max(1.0, min(float(sampler.concurrency), sampler.capacity_tokens / max(1.0, length)))


def rollout_seconds(sampler: Sampler, lengths: Lengths, samples: float, prompt: float, rates: Rates) -> float:
    """Return how long an engine decodes so many responses until the last one is done, prompts apart."""
    classes = classes_of(lengths, samples)
    slots = slots_of(sampler, prompt + age_of(classes))
    return drained_seconds(decode_costs(sampler, rates), classes, samples, prompt, slots) / sampler.drawn


def steady_seconds(
    sampler: Sampler, lengths: Lengths, samples: float, under_way: float, prompt: float, rates: Rates
) -> float:
    """Return how long an engine decodes so many responses while others follow, so many being there at any time."""
    classes = classes_of(lengths, samples)
    age = age_of(classes)
    slots = min(under_way, slots_of(sampler, prompt + age))
    step = decode_costs(sampler, rates).seconds(slots, slots * (prompt + age))
    return samples * lengths.mean / slots * step / sampler.drawn


def age_of(classes: tuple[Class, ...]) -> float:
    """Tokens that a response has on average, at any time: one is met in proportion to its length, at its half."""
    mean = sum(one.share * one.tokens for one in classes)
    return sum(one.share * one.tokens**2 for one in classes) / (2 * mean) if mean else 0.0


def drained_seconds(
    costs: DecodeCosts, classes: tuple[Class, ...], samples: float, prompt: float, slots: float
) -> float:
    """Return the seconds until all of the responses are done, of which `slots` are decoded at once.

    Where there are many times as many as slots, the first ones are decoded at the mixture that there is at any time:
    a response is met in proportion to its length, on average at its half.
    """
    seconds, count = 0.0, samples
    if samples > _WAVES * slots:
        mean = sum(one.share * one.tokens for one in classes)
        age = age_of(classes)
        count = _WAVES * slots
        seconds = (samples - count) * mean / slots * costs.seconds(slots, slots * (prompt + age))
    return seconds + _followed(costs, classes, count, prompt, slots)


def _followed(costs: DecodeCosts, classes: tuple[Class, ...], samples: float, prompt: float, slots: float) -> float:
    """Responses start in an order in which long ones are spread among short ones, and are followed to their ends."""
    stride = _stride(len(classes))
    waiting = [classes[index * stride % len(classes)] for index in range(len(classes) - 1, -1, -1)]
    running: list[tuple[float, float, float]] = []  # last step, responses, their cached tokens less active x step
    active = base = seconds = now = 0.0
    room = slots * (1 + 1e-9)
    while waiting or running:
        while waiting and (not running or active + waiting[-1].share * samples <= room):
            one = waiting.pop()
            count = one.share * samples
            held = count * (prompt - now)
            heappush(running, (now + one.tokens, count, held))
            active += count
            base += held
        end, count, held = heappop(running)
        if end > now:
            seconds += (end - now) * costs.seconds(active, base + active * (now + end) / 2)
            now = end
        active -= count
        base -= held
    return seconds


def _stride(count: int) -> int:
    """A step through so many places that comes to each of them once, and soon to far ones."""
    step = max(1, round(count * 0.618))
    while any(count % factor == 0 and step % factor == 0 for factor in range(2, count + 1)):
        step += 1
    return step


def _hop_us(sampler: Sampler, rates: Rates) -> float:
    group = Group(sampler.gpus)
    return rates.hop_us * (1.0 if group.within(sampler.gpu) == group.size else NETWORK_HOPS)


def sampler_bytes(sampler: Sampler) -> float:
    """Return the bytes of the weights on one GPU of an engine."""
    network = sampler.network
    kinds = layer_kinds(network, 0, network.num_layers)
    routed = kinds_parameters(network, kinds).routed * sampler.weight_bytes / sampler.gpus
    table = 0.0 if network.tied else network.vocab * network.hidden * _HALF / sampler.gpus
    return _read_bytes(sampler, kinds) + routed + table


def cached_bytes(sampler: Sampler) -> float:
    """Return the bytes of a token's keys and values on all GPUs of an engine.

    A head lies on one GPU, and on several where there are more GPUs than heads; a latent vector lies on all of them,
    unless each GPU has sequences of its own.
    """
    network, gpus = sampler.network, sampler.gpus
    numbers = _cached_numbers(network) * layer_kinds(network, 0, network.num_layers).full * sampler.cache_bytes
    if sampler.copies_attention:
        return numbers
    return numbers * (max(1.0, gpus / network.kv_heads) if isinstance(network.mla, Off) else gpus)


def _read_bytes(sampler: Sampler, kinds: LayerKinds) -> float:
    """Weights that one GPU reads for every token: all but the experts, and the table that tokens are looked up in."""
    network, gpus = sampler.network, sampler.gpus
    parts = kinds_parameters(network, kinds)
    own = attention_parameters(network, kinds).split if sampler.copies_attention else 0.0
    whole = parts.copied + own
    return (
        whole * sampler.weight_bytes
        + ((parts.split - own) * sampler.weight_bytes + head_parameters(network).split * _HALF) / gpus
    )


def _collectives(sampler: Sampler, kinds: LayerKinds, rates: Rates) -> tuple[float, float]:
    """How many collectives a step has one after the other, and what data of one sequence takes in them.

    Two sums over the GPUs of an engine for each layer, in one hop, as every GPU reads from all.  With DP attention, two
    exchanges for each layer of experts: within a domain, tokens are gathered and sums scattered on a ring, n - 1 hops;
    beyond it, a dispatcher sends them to where they go, in one.
    """
    group, gpu, hidden = Group(sampler.gpus), sampler.gpu, sampler.network.hidden
    if group.size == 1:
        return 0.0, 0.0
    if not sampler.copies_attention:
        each = 2 * ring_bytes(group, hidden * _HALF) / bandwidth(group, gpu, LINK_FRAC)
        return 2 * kinds.all, 2 * kinds.all * each
    moe = sampler.network.moe
    visits = 1 if isinstance(moe, Off) else moe.experts_per_token
    exchanged = exchange_seconds(group, hidden * _HALF / group.size, visits, gpu, LINK_FRAC)
    hops = group.size - 1 if group.within(gpu) == group.size else 1
    return 2 * kinds.sparse * hops, 2 * kinds.sparse * exchanged


def _cached_numbers(network: Network) -> float:
    """Numbers that a layer with full attention caches of a token."""
    mla = network.mla
    if isinstance(mla, Off):
        return 2.0 * network.kv_heads * network.head_dim
    return float(mla.kv_lora_rank + mla.qk_rope_dim)


def _scores(network: Network) -> float:
    """FLOPs of a decoded token for each cached one and layer; latent attention works on the latent vectors."""
    mla = network.mla
    if isinstance(mla, Off):
        return 4.0 * network.heads * network.head_dim
    return 2.0 * network.heads * (2 * mla.kv_lora_rank + mla.qk_rope_dim)
