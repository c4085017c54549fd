"""Every legal layout of a problem, without those that divisibility rules out.

What is legal is what the rules about GPUs say, by the same arithmetic: axes fill the GPUs (RLC0506), divide the model
(RLC0507, RLC0520, RLC0521) and the batches (RLC0508), engines lie within machines (RLC0509), sides share all GPUs or
divide them (RLC0504), and the target's limits hold (RLC0512).  Beyond the rules, what no one runs is left out:

- tensor parallelism within the GPUs that the fast links reach, and sequence parallelism wherever there is any of it;
- context parallelism in powers of two, as Megatron's placeholder length of 4,096 asks, no more than a sample has units;
- tensor parallelism of an expert no more than of a layer;
- where layers do not divide among pipeline stages, as many on each as possible and fewer on the last, beside the head;
- of the groups of layers that a pipeline stage may interleave, up to eight: none, the fewest and the most;
- of FSDP2's groups that hold all weights each, one for all copies, or one for each domain of fast links;
- of divided machines, sides in eighths of them;
- of the ways in which SGLang spreads experts, whole ones on each GPU only where none can be split, or with attention
  that is whole too (DP attention), over as many GPUs as the engine has.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

from compiler.ir.machine import GpuPlacement
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject
from compiler.planner.chosen import is_left_out
from compiler.planner.engine_settings import expert_ways
from compiler.planner.memory.activations import ELEMENTWISE, Recompute
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Sharding
from compiler.planner.number_formats import block_widths, formats_of
from compiler.planner.padding import padded
from compiler.planner.search.problem import (
    Problem,
    StageFacts,
    Way,
    gives_recompute,
    gives_sharding,
    gives_tokens,
    gives_way,
)
from compiler.planner.splits import heads_split, split_widths

_MOST_CP = 64
_MOST_VPP = 8
_MOST_COPIES = 32  # of attention in one engine, which has a port for each of them, of 64
_PARTS = 8
_LADDER = (8192, 16384, 32768, 65536)
Side = tuple[str, int, int]


def sides(problem: Problem) -> Iterator[Side]:
    """Yield ways to divide the GPUs, as (mode, GPUs that train, GPUs that generate)."""
    base, total = problem.base, problem.total
    if not problem.samples:
        yield base.mode, base.train_gpus, base.rollout_gpus
        return
    modes = ("colocate", "split") if "mode" in problem.open else (base.mode,)
    if problem.is_async:
        modes = tuple(mode for mode in modes if mode == "split")
    has_train, has_rollout = "train_gpus" in problem.open, "rollout_gpus" in problem.open
    for mode in modes:
        if mode == "colocate":
            train = total if has_train else base.train_gpus
            rollout = total if has_rollout else base.rollout_gpus
            if train == rollout == total:
                yield mode, total, total
        elif not has_train:
            if not has_rollout and base.train_gpus + base.rollout_gpus == total:
                yield mode, base.train_gpus, base.rollout_gpus
            elif has_rollout and base.train_gpus < total:
                yield mode, base.train_gpus, total - base.train_gpus
        elif not has_rollout:
            if base.rollout_gpus < total:
                yield mode, total - base.rollout_gpus, base.rollout_gpus
        else:
            for train in _parts(total, problem.per_node):
                yield mode, train, total - train


def layouts(problem: Problem, gpus: int) -> Iterator[Layout]:
    """Yield the legal axes of so many training GPUs."""
    base, open_names, model = problem.base.layout, problem.open, problem.experiment.model
    is_moe = not isinstance(model.moe, Off)
    reach = max(problem.per_node, problem.gpu.scaleup_gpus or 1)
    for tp in _sizes("tp", base.tp, open_names, divisors(gpus)):
        if gpus % tp or ("tp" in open_names and tp > reach) or not _splits(problem, "train", tp, 1):
            continue
        sp = tp > 1 if "sp" in open_names else base.sp
        if (sp and tp == 1) or (is_moe and tp > 1 and not sp):
            continue
        for pp in _sizes("pp", base.pp, open_names, divisors(gpus // tp)):
            stacked = _stacked(problem, pp)
            if gpus // tp % pp or not _stacks(problem, stacked):
                continue
            for cp in _sizes("cp", base.cp, open_names, _powers(gpus // tp // pp)):
                dp, rest = divmod(gpus, tp * pp * cp)
                if rest or not _divides_batches(problem, dp) or ("dp" not in open_names and dp != base.dp):
                    continue
                one = stacked._replace(tp=tp, sp=sp, cp=cp, dp=dp)
                if "cp" in open_names and not _is_useful(problem, one):
                    continue
                yield from _with_experts(problem, one, gpus)


def groups_of_layers(problem: Problem, layout: Layout) -> Iterator[int]:
    """Yield how many groups of layers a pipeline stage may interleave."""
    if "vpp" not in problem.open:
        if _stacks(problem, layout) and _goes_round(problem, layout):
            yield layout.vpp
        return
    most = _MOST_VPP if layout.pp > 1 and not layout.last_layers else 1
    ways = [layout._replace(vpp=vpp) for vpp in range(1, most + 1)]
    legal = [way.vpp for way in ways if _stacks(problem, way) and _goes_round(problem, way)]
    yield from sorted({*legal[:2], *legal[-1:]})


def recomputations(problem: Problem) -> tuple[Recompute | None, ...]:
    """Return what may be computed again, the least first; None is what the stages say themselves."""
    if "recompute" not in problem.open or any(gives_recompute(problem, index) for index in range(len(problem.stages))):
        return (None,)
    model = problem.experiment.model
    engines_used = {facts.stage.train.engine.name for facts in problem.stages}
    if engines_used == {"fsdp2"}:
        return Recompute(), Recompute("selective", (ELEMENTWISE,)), Recompute("full")
    if len(engines_used) > 1:
        return (None,)
    modules = ["layernorm"]
    if not isinstance(model.moe, Off):
        modules.append("moe_act")
    if not isinstance(model.mla, Off):
        modules.append("mla_up_proj")
    return Recompute(), Recompute("selective", tuple(modules)), Recompute("full", method="uniform", num_layers=1)


def shardings(problem: Problem, layout: Layout) -> tuple[Sharding | None, ...]:
    """Return how FSDP2 may share everything; None is what the stages say themselves.

    Weights are given back after a layer's forward pass, or kept until its backward pass; and they are spread over all
    copies, or over those that fast links reach, with a group of copies for each domain of such links.
    """
    if "sharding" not in problem.open or any(gives_sharding(problem, index) for index in range(len(problem.stages))):
        return (None,)
    base = problem.stages[0].job.job.storage.sharding
    reach = max(problem.per_node, problem.gpu.scaleup_gpus or 1)
    groups = layout.tp * layout.cp * layout.dp // reach
    counts = (1, groups) if groups > 1 and layout.dp % groups == 0 else (1,)
    return tuple(base._replace(groups=count, kept_frac=kept) for kept in (0.0, 1.0) for count in counts)


def levels(problem: Problem, layout: Layout) -> int:
    """Return how many sizes of a micro-batch there are to choose from."""
    return max(len(budgets(problem, facts, layout)) for facts in problem.stages)


def tokens_at(problem: Problem, facts: StageFacts, layout: Layout, level: int) -> float:
    """Return the tokens of a micro-batch of a stage."""
    found = budgets(problem, facts, layout)
    return found[min(level, len(found) - 1)]


def budgets(problem: Problem, facts: StageFacts, layout: Layout) -> tuple[float, ...]:
    """Return the sizes of a micro-batch in tokens, the smallest first: that of one padded sample, and larger ones."""
    train = facts.stage.train
    index = next(i for i, other in enumerate(problem.stages) if other is facts)
    if "tokens" not in problem.open or gives_tokens(problem, index):
        return (facts.tokens,)
    unit = unit_of(layout)
    least = padded(padded(facts.longest, unit), facts.pad_multiple)
    if not facts.is_bounded or isinstance(facts.stage.rollout, Off):
        return (max(padded(int(facts.tokens), facts.pad_multiple), least),)
    most = train.global_batch // layout.dp * facts.longest
    larger = [padded(size * layout.cp, facts.pad_multiple) for size in _LADDER]
    return (least, *sorted(size for size in larger if least < size < 2 * most))


def engines(problem: Problem, gpus: int) -> Iterator[tuple[int, Way]]:
    """Yield how many GPUs an engine may have, of so many that generate, and how it spreads its layers over them."""
    base = problem.base
    if not problem.samples:
        yield base.gpus_per_engine, base.way
        return
    is_open, moe = "engine_way" in problem.open and not gives_way(problem), problem.experiment.model.moe
    for each in _sizes("gpus_per_engine", problem.base.gpus_per_engine, problem.open, divisors(gpus)):
        on_a_node = problem.per_node
        straddles = on_a_node % each != 0 if each <= on_a_node else each % on_a_node != 0
        if straddles or not _fills(problem, gpus, each):
            continue
        is_even = _splits(problem, "rollout", each, each if is_open else None)
        if is_even:
            yield each, "tp" if is_open else base.way
        has_whole = is_open and each > 1 and not isinstance(moe, Off) and moe.num_experts % each == 0
        if has_whole and _splits(problem, "rollout", each, 1):
            if not is_even:
                yield each, "ep"
            if each <= _MOST_COPIES:
                yield each, "dp"


def _fills(problem: Problem, gpus: int, each: int) -> bool:
    """Whether engines of that size use up the GPUs of their side, with those that read prompts, if any."""
    placement = problem.experiment.placement
    assert isinstance(placement, GpuPlacement), "a layout is searched for GPUs"
    groups = placement.replacing(gpus_per_engine=each, rollout_gpus=gpus).engine_groups()
    return all(group.engines for group in groups) and sum(group.engines * group.gpus for group in groups) == gpus


def unit_of(layout: Layout) -> int:
    """Return the number of tokens of which every sample has a multiple."""
    return lcm(layout.tp if layout.sp else 1, 2 * layout.cp if layout.cp > 1 else 1)


def divisors(number: int) -> list[int]:
    """Return the divisors of a number, the smallest first."""
    return [size for size in range(1, number + 1) if number % size == 0]


def _sizes(name: str, base: int, open_names: frozenset[str], sizes: list[int]) -> list[int]:
    return sizes if name in open_names else [base]


def _powers(most: int) -> list[int]:
    return [1 << bits for bits in range(_MOST_CP.bit_length()) if 1 << bits <= most]


def _parts(total: int, per_node: int) -> list[int]:
    """Eighths of the GPUs, in whole machines where there are several."""
    nodes = total // per_node
    if nodes < 2:
        return list(range(1, total))
    return [per_node * count for count in sorted({max(1, min(nodes - 1, round(nodes * k / _PARTS))) for k in range(9)})]


def _splits(problem: Problem, role: str, ways: int, expert_over: int | None) -> bool:
    """Whether so many GPUs split every layer evenly, blocks of narrow number formats included."""
    model = problem.experiment.model
    if not heads_split(model, ways, copies=problem.copies_heads or role == "rollout"):
        return False
    for index, facts in enumerate(problem.stages):
        view = StageSubject(problem.subject, index, facts.stage)
        if role == "rollout" and facts.job.engine is None:
            continue
        experts = expert_ways(view, ways) if expert_over is None else expert_over
        if any(width % over for _, _, width, over in split_widths(model, ways, experts)):
            return False
        for asked in formats_of(view):
            rows = block_widths(model, ways, experts)
            if asked.role == role and any(width // over % asked.block for _, _, width, over in rows):
                return False
    return True


def _stacked(problem: Problem, pp: int) -> Layout:
    """So many stages; where layers do not divide among them, and nobody says how, the last one has fewer."""
    base, layers, origins = problem.base.layout, problem.experiment.model.num_layers, problem.subject.origins
    ends_are_open = all(is_left_out(origins, f"parallel.pp_{end}_layers") for end in ("first", "last"))
    if "pp" not in problem.open or not ends_are_open:
        return base._replace(pp=pp, vpp=base.vpp if "vpp" not in problem.open else 1)
    each = -(-layers // pp)
    last = layers - each * (pp - 1)
    vpp = base.vpp if "vpp" not in problem.open else 1
    return base._replace(pp=pp, vpp=vpp, first_layers=0, last_layers=last if 0 < last < each else 0)


def _stacks(problem: Problem, layout: Layout) -> bool:
    """Whether layers can be stacked into so many stages of so many groups."""
    layers, pp, vpp = problem.experiment.model.num_layers, layout.pp, layout.vpp
    ends = [count for count in (layout.first_layers, layout.last_layers) if count]
    if pp == 1:
        return not ends and vpp == 1
    between, stages = layers - sum(ends), pp - len(ends)
    return between == 0 if stages <= 0 else between > 0 and between % (stages * vpp) == 0


def _divides_batches(problem: Problem, dp: int) -> bool:
    for facts in problem.stages:
        train = facts.stage.train
        share, rest = divmod(train.global_batch, dp)
        if rest or (not isinstance(train.micro_batch, Off) and share % train.micro_batch):
            return False
    return True


def _goes_round(problem: Problem, layout: Layout) -> bool:
    """Whether micro-batches of so many samples go through interleaved stages in rounds."""
    if layout.vpp == 1:
        return True
    for facts in problem.stages:
        micro = facts.stage.train.micro_batch
        if not isinstance(micro, Off) and facts.stage.train.global_batch // layout.dp // micro % layout.pp:
            return False
    return True


def _is_useful(problem: Problem, layout: Layout) -> bool:
    """Whether every GPU that splits a sequence has some of the longest one."""
    return layout.cp == 1 or all(unit_of(layout) <= facts.longest for facts in problem.stages)


def _with_experts(problem: Problem, one: Layout, gpus: int) -> Iterator[Layout]:
    moe, open_names, base = problem.experiment.model.moe, problem.open, problem.base.layout
    if isinstance(moe, Off):
        if ("ep" in open_names or base.ep == 1) and ("etp" in open_names or base.etp == 1):
            yield one._replace(ep=1, etp=1)
        return
    in_a_stage = gpus // one.pp
    if any(facts.stage.train.engine.name == "fsdp2" for facts in problem.stages):
        etp = one.tp if "etp" in open_names else base.etp
        if etp == one.tp and ("ep" in open_names or base.ep == 1) and _splits(problem, "train", one.tp, etp):
            yield one._replace(ep=1, etp=etp)
        return
    for etp in _sizes("etp", base.etp, open_names, divisors(one.tp)):
        if in_a_stage % etp or not _splits(problem, "train", one.tp, etp):
            continue
        for ep in _sizes("ep", base.ep, open_names, divisors(moe.num_experts)):
            if moe.num_experts % ep == 0 and in_a_stage % (ep * etp) == 0:
                yield one._replace(ep=ep, etp=etp)
