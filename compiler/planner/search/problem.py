"""What a search for a layout is given: a resolved experiment, and which of its settings may be others.

The settings that are not open are kept as they are.  Everything else about the stages, their memory above all, is
counted once here, so that a candidate changes numbers and no records.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Any, Literal
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.catalogue import Catalogue, Gpu
from compiler.ir.conditions import holds
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.hardware import gpus_per_node
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import OFF, Off
from compiler.ir.options import SHARES
from compiler.ir.provenance import Provenance
from compiler.ir.subject import StageSubject, Subject
from compiler.ir.training import PolicyTrain
from compiler.planner.chosen import HEADROOM_FRAC, is_left_out
from compiler.planner.conditions import value_at
from compiler.planner.engine_settings import path_of, setting_of
from compiler.planner.memory.activations import Recompute
from compiler.planner.memory.experiment_facts import longest_sample, stage_job
from compiler.planner.memory.phases import StageJob
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Sharding
from compiler.planner.search.clock import stage_step
from compiler.planner.splits import engines_copy_heads
from compiler.planner.time.step import StepJob

_BOUNDS = ("train.packing.tokens", "rollout.max_context_tokens", "rollout.max_prompt_tokens")
_RECOMPUTE = ("recompute_granularity", "recompute_method", "recompute_num_layers", "recompute_modules")
OF_FSDP2 = "train.engine.fsdp2"
SHARDING = ("reshard_after_forward", "dp_replicate_size")
_WAYS = ("ep_size", "dp_size", "enable_dp_attention")
_OF_LAYOUTS = ("placement", "parallel")

Way = Literal["tp", "ep", "dp"]
Ban = tuple[tuple[str, object], ...]


class Candidate(NamedTuple):
    """One way to lay a job out.

    Args:
        layout: the axes of training.
        recompute: as the stages say it themselves, or the same for all of them.
        level: which of the sizes of a micro-batch each stage takes, from its smallest one up.
        sharding: how FSDP2 shares everything, or as the stages say it themselves.
        way: how an engine spreads its layers: "tp" splits all of them, "ep" has whole experts, "dp" has whole attention
            too, each GPU with sequences of its own.
    """

    mode: str
    train_gpus: int
    rollout_gpus: int
    gpus_per_engine: int
    layout: Layout
    recompute: Recompute | None
    level: int
    way: Way = "tp"
    sharding: Sharding | None = None


class StageFacts(NamedTuple):
    """What of a stage no candidate changes.

    Args:
        job: its memory as the experiment stands.
        step: its time as the experiment stands.
        steps: of the stage, as one part of all the stages' steps.
        longest: tokens of the longest sample.
        is_bounded: whether something that is written says how long samples are, so that training can be judged.
        tokens: of a micro-batch where a candidate does not say it.
        pad_multiple: what a micro-batch's tokens are a multiple of.
        gives_share: whether it says which share of a GPU its engine takes, or has one that is not told.
    """

    stage: Stage[Any]
    job: StageJob
    step: StepJob
    steps: float
    longest: int
    is_bounded: bool
    tokens: float
    pad_multiple: int
    gives_share: bool = True


class Problem(NamedTuple):
    """A search: what is given, and what is open.

    Args:
        subject: the experiment with every setting filled in somehow, and where each comes from.
        open: names of compiler.planner.chosen.CHOOSABLE that a candidate may set.
        per_node: GPUs of one machine.
        copies_heads: whether training engines copy a key and value head to several GPUs.
        bans: settings that do not go together on this target, of which only those that are open are left.
        released: names of stages' settings that are open although a stage says them.
        is_strict: whether training is judged by the longest samples that there may be, where nothing bounds them, too.
        headroom_frac: of a GPU that candidates leave free, an engine's cache aside.
        heeds_requirements: whether what is required of the layout leaves candidates out.
    """

    subject: Subject
    gpu: Gpu
    total: int
    per_node: int
    open: frozenset[str]
    base: Candidate
    stages: tuple[StageFacts, ...]
    copies_heads: bool
    bans: tuple[Ban, ...]
    released: frozenset[str] = frozenset()
    is_strict: bool = True
    headroom_frac: float = HEADROOM_FRAC
    heeds_requirements: bool = True

    @property
    def experiment(self) -> Experiment[Any]:
        """The experiment with every setting filled in somehow."""
        return self.subject.experiment

    @property
    def is_async(self) -> bool:
        """Whether sampling goes on beside training in some stage, which takes GPUs of its own."""
        return any(facts.stage.schedule.lag > 0 for facts in self.stages)

    @property
    def samples(self) -> bool:
        """Whether anything is sampled."""
        return any(facts.job.engine is not None for facts in self.stages)


def problem_of(
    experiment: Experiment[Any], origins: Provenance, catalogue: Catalogue, open_names: frozenset[str]
) -> Problem | None:
    """Return the search over some settings of an experiment, None where another setting has no value yet."""
    cluster, parallel, placement = experiment.cluster, experiment.parallel, experiment.placement
    named = gpus_per_node(cluster.gpus_per_node)
    gpu = catalogue.load_hardware().get(cluster.gpu) if isinstance(cluster.gpu, str) else None
    if gpu is None or named is None or not isinstance(parallel, Parallel) or not isinstance(placement, GpuPlacement):
        return None
    parallel, placement = _filled(parallel, placement, named.count * cluster.nodes, named.count)
    experiment = experiment.replacing(parallel=parallel, placement=placement)
    subject = Subject(experiment, origins, catalogue)
    stages = _stages(subject, gpu)
    sizes = (parallel.tp, parallel.pp, parallel.cp, parallel.dp, placement.train_gpus, placement.rollout_gpus)
    if not stages or not all(isinstance(size, int) for size in sizes):
        return None
    base = Candidate(
        mode=placement.mode,
        train_gpus=int(placement.train_gpus),
        rollout_gpus=int(placement.rollout_gpus),
        gpus_per_engine=placement.gpus_per_engine,
        layout=stages[0].job.job.layout,
        recompute=None,
        level=0,
        way="dp"
        if any(facts.job.engine is not None and facts.job.engine.copies_attention for facts in stages)
        else "tp",
    )
    return Problem(
        subject=subject,
        gpu=gpu,
        total=named.count * cluster.nodes - placement.judge_gpus(),
        per_node=named.count,
        open=open_names,
        base=base,
        stages=stages,
        copies_heads=engines_copy_heads(experiment, catalogue),
        bans=tuple(_bans(subject)),
    )


def _filled(
    parallel: Parallel[Any], placement: GpuPlacement[Any], total: int, per_node: int
) -> tuple[Parallel[Any], GpuPlacement[Any]]:
    """Sizes for sides that nobody divided yet: some, for a base that every candidate changes."""
    train, rollout = placement.train_gpus, placement.rollout_gpus
    if isinstance(train, int) or isinstance(rollout, int) or total < 2:
        return parallel, placement
    train = max(1, total // per_node // 2 * per_node or total // 2)
    of_a_copy = 1
    for size in (parallel.tp, parallel.pp, parallel.cp):
        if not isinstance(size, int):
            return parallel, placement
        of_a_copy *= size
    copies = parallel.dp if isinstance(parallel.dp, int) else max(1, train // of_a_copy)
    train = of_a_copy * copies
    if train >= total:
        return parallel, placement
    parallel = parallel.replacing(dp=copies)
    return parallel, placement.replacing(train_gpus=train, rollout_gpus=total - train)


def _stages(subject: Subject, gpu: Gpu) -> tuple[StageFacts, ...]:
    found = []
    steps = [stage.run.max_steps if isinstance(stage.run.max_steps, int) else 1 for stage in subject.experiment.stages]
    for view, count in zip(subject.stages(), steps, strict=True):
        stage = view.stage
        job = stage_job(subject.experiment, stage, gpu)
        is_open = isinstance(stage.train, PolicyTrain) and not isinstance(stage.train.steps_per_rollout, int)
        if job is None or is_open:
            return ()
        bounds = _BOUNDS[:1] if isinstance(stage.rollout, Off) else _BOUNDS
        found.append(
            StageFacts(
                stage=stage,
                job=job,
                step=stage_step(subject.experiment, stage, gpu, job),
                steps=count / sum(steps),
                longest=longest_sample(subject.experiment, stage),
                is_bounded=any(view.written(field) for field in bounds),
                tokens=job.job.tokens.count,
                pad_multiple=stage.train.packing.pad_multiple,
                gives_share=_gives_share(view),
            )
        )
    return tuple(found)


def _gives_share(view: StageSubject) -> bool:
    rollout = view.stage.rollout
    key = None if isinstance(rollout, Off) else SHARES.get(str(rollout.engine.name))
    if key is None:
        return True
    is_given = setting_of(view, "rollout", key) not in (None, OFF)
    return is_given and not is_left_out(view.subject.origins, view.path(path_of(view, "rollout", key)))


def generating_engines(problem: Problem, gpus: int, each: int) -> int:
    """Return how many engines generate on so many GPUs of the rollout, beside those that only read prompts."""
    placement = problem.experiment.placement
    if not isinstance(placement, GpuPlacement) or isinstance(placement.disaggregation, Off):
        return max(1, gpus // each)
    return placement.replacing(gpus_per_engine=each, rollout_gpus=gpus).generating_engines()


def _bans(subject: Subject) -> list[Ban]:
    """Rows of the target's table of limits that a candidate decides: what else they name holds already."""
    found: list[Ban] = []
    for limit in subject.catalogue.load_target(subject.experiment.cluster.target).limits:
        own = tuple((name, wanted) for name, wanted in limit.when if name.partition(".")[0] in _OF_LAYOUTS)
        others = [(name, wanted) for name, wanted in limit.when if (name, wanted) not in own]
        for index in range(len(subject.experiment.stages)):
            paths = [(_path(name, index), wanted) for name, wanted in others]
            if own and own not in found and all(holds(value_at(subject, path), wanted) for path, wanted in paths):
                found.append(own)
    return found


def _path(name: str, index: int) -> str:
    return name if name.partition(".")[0] in ("model", "cluster") else f"stages.{index}.{name}"


def is_banned(problem: Problem, candidate: Candidate) -> bool:
    """Whether settings of a candidate do not go together."""
    return any(all(holds(_value(candidate, name), wanted) for name, wanted in ban) for ban in problem.bans)


def _value(candidate: Candidate, name: str) -> object:
    table, _, field = name.partition(".")
    return getattr(candidate.layout if table == "parallel" else candidate, field, None)


def gives_recompute(problem: Problem, index: int) -> bool:
    """Whether a stage says itself what it computes again, or cannot be told."""
    facts, origins = problem.stages[index], problem.subject.origins
    if facts.stage.train.engine.name not in ("megatron", "fsdp2"):
        return True
    if "recompute" in problem.released:
        return False
    view = StageSubject(problem.subject, index, facts.stage)
    if facts.stage.train.engine.name == "fsdp2":
        return not is_left_out(origins, view.path(f"{OF_FSDP2}.activation_checkpointing"))
    keys = [key for key in _RECOMPUTE if setting_of(view, "train", key) is not None]
    return not all(is_left_out(origins, view.path(f"train.engine.megatron.{key}")) for key in keys)


def gives_sharding(problem: Problem, index: int) -> bool:
    """Whether a stage says itself how FSDP2 shares everything, or is trained by another engine."""
    facts, origins = problem.stages[index], problem.subject.origins
    if facts.stage.train.engine.name != "fsdp2":
        return True
    if "sharding" in problem.released:
        return False
    view = StageSubject(problem.subject, index, facts.stage)
    return not all(is_left_out(origins, view.path(f"{OF_FSDP2}.{key}")) for key in SHARDING)


def gives_tokens(problem: Problem, index: int) -> bool:
    """Whether a stage says itself how large a micro-batch is."""
    if "tokens" in problem.released:
        return False
    view = StageSubject(problem.subject, index, problem.stages[index].stage)
    return not isinstance(view.stage.train.micro_batch, Off) or not is_left_out(
        problem.subject.origins, view.path("train.packing.tokens")
    )


def is_cut_by_samples(problem: Problem, index: int) -> bool:
    """Whether a micro-batch of a stage has so many samples, whatever their tokens."""
    return not isinstance(problem.stages[index].stage.train.micro_batch, Off) and "tokens" not in problem.released


def gives_way(problem: Problem) -> bool:
    """Whether a stage says itself how its engine spreads its layers, or has one that does so in one way only."""
    if isinstance(problem.experiment.model.moe, Off):
        return True
    origins = problem.subject.origins
    for index, facts in enumerate(problem.stages):
        rollout = facts.stage.rollout
        if isinstance(rollout, Off):
            continue
        view = StageSubject(problem.subject, index, facts.stage)
        keys = [key for key in _WAYS if setting_of(view, "rollout", key) not in (None, OFF)]
        if rollout.engine.name != "sglang" or not all(
            is_left_out(origins, view.path(f"rollout.engine.sglang.{key}")) for key in keys
        ):
            return True
    return False
