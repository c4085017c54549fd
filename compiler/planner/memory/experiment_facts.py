"""What a resolved experiment says of the memory of a stage: the axes, the batch, and the settings of its engines.

Megatron's settings are read by its own names, as a spec hands them on; what is not given is the engine's default: no
recomputation, gradients in the format of the weights.  FSDP2 keeps fp32 shards of everything, and recomputes what its
own table says.
"""

from __future__ import annotations

from math import ceil

from compiler.diagnostics.annotations import Any
from compiler.ir.algorithm import ActorCriticParams, TaughtParams
from compiler.ir.catalogue import Gpu
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.loss import ScoreLoss
from compiler.ir.machine import GpuPlacement, Parallel
from compiler.ir.openness import Off
from compiler.ir.options import settings_given
from compiler.ir.rollout import Rollout
from compiler.ir.sides import has_engine, trains
from compiler.ir.training import Fsdp2
from compiler.planner.memory.activations import ELEMENTWISE, Kernels, Recompute, Tokens
from compiler.planner.memory.engine import EngineJob
from compiler.planner.memory.lines import GIB, Line, Lines, total
from compiler.planner.memory.loss import Loss
from compiler.planner.memory.network import Network, network_of
from compiler.planner.memory.phases import StageJob
from compiler.planner.memory.pipeline import Layout
from compiler.planner.memory.static import Sharding, Storage, static_lines
from compiler.planner.memory.training import Job
from compiler.planner.ranks import engine_formats
from compiler.planner.remembered import remembered
from compiler.planner.weight_formats import weight_format

_WAITING_BYTES = 32  # a token of a sample that waits: id, log-prob, weight version, mask, as Python and tensors have it
_PROMPT_TOKENS = 8192  # of one step, which both engines take on GPUs of 80 GB and more
_DEFAULT_SHARE = 0.88  # of a GPU, that engines take at most where nobody says
_CORES = ("core_attn",)


@remembered
def stage_job(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu) -> StageJob | None:
    """Return what decides the memory of a stage, or None where there are no GPUs or an axis is open."""
    parallel, placement = experiment.parallel, experiment.placement
    if not isinstance(parallel, Parallel) or not isinstance(placement, GpuPlacement):
        return None
    axes = (parallel.tp, parallel.pp, parallel.cp, parallel.ep, parallel.etp, parallel.dp, placement.rollout_gpus)
    sizes = (*axes, experiment.cluster.num_gpus, stage.train.global_batch, stage.train.vocab_chunk, *_sampled(stage))
    job = training_job(experiment, stage, gpu) if all(isinstance(size, int) for size in sizes) else None
    if job is None:
        return None
    is_shared = placement.mode == "colocate"
    params, layout = stage.algorithm, job.layout
    return StageJob(
        job=job,
        engine=engine_job(experiment, stage, gpu) if has_engine(stage) else None,
        is_shared=is_shared,
        others=_others(stage, job) if trains(stage) else (),
        has_reference=not isinstance(stage.reference, Off) and trains(stage),
        scores=isinstance(stage.rollout, Rollout) and getattr(params.loss, "old_logprobs", "rollout") == "recompute",
        communicators=_communicators(layout),
        gpus_per_node=max(1, experiment.cluster.num_gpus // experiment.cluster.nodes),
        buffer_bytes=_waiting(stage),
        trains=trains(stage),
        reader=reader_job(experiment, stage, gpu) if has_engine(stage) else None,
    )


def training_job(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu) -> Job | None:
    """Return what decides the memory of a training GPU, or None where a micro-batch is open."""
    parallel, train, given = experiment.parallel, stage.train, settings_given(stage.train.engine, "megatron")
    assert isinstance(parallel, Parallel), "a training job is spread over GPUs"
    longest = longest_sample(experiment, stage)
    tokens = train.packing.tokens if isinstance(train.packing.tokens, int) else None
    if tokens is None:
        if not isinstance(train.micro_batch, int):
            return None
        tokens = train.micro_batch * longest
    fsdp2 = train.engine.fsdp2 if isinstance(train.engine.fsdp2, Fsdp2) else None
    layout = Layout(**{axis: getattr(parallel, axis) for axis in ("tp", "sp", "pp", "vpp", "cp", "ep", "etp", "dp")})
    first, last = parallel.pp_first_layers, parallel.pp_last_layers
    layout = layout._replace(
        first_layers=0 if isinstance(first, Off) else first, last_layers=0 if isinstance(last, Off) else last
    )
    network = network_of(experiment.model)
    is_trained = isinstance(given.get("mtp_num_layers"), int)
    return Job(
        network=network._replace(
            mtp_layers=network.mtp_layers if is_trained else 0,
            tied=network.tied or isinstance(stage.algorithm.loss, ScoreLoss),
        ),
        layout=layout,
        storage=_storage(stage, given, fsdp2),
        recompute=_recompute(given) if fsdp2 is None else recompute_of(fsdp2, network.num_layers),
        tokens=Tokens(count=tokens, pairs=tokens * min(tokens, longest)),
        loss=_loss(stage),
        micro_batches=_micro_batches(stage, layout, longest, tokens),
        kernels=Kernels() if fsdp2 is None else Kernels(fuses_layers=fsdp2.compile, is_plain_attention=True),
        has_new_kernels=gpu.fp8_tflops > 0,
        reserves=True,
    )


def relaid(
    base: StageJob, stage: Stage[Any], layout: Layout, *, longest: int, tokens: float, recompute: Recompute
) -> StageJob:
    """Return what decides the memory of the same stage with other axes, micro-batches and recomputation.

    Args:
        longest: tokens of the longest sample.
        tokens: of a micro-batch.
    """
    job = base.job._replace(
        layout=layout,
        tokens=Tokens(count=tokens, pairs=tokens * min(tokens, longest)),
        recompute=recompute,
        micro_batches=_micro_batches(stage, layout, longest, tokens),
    )
    others = _others(stage, job) if base.others else ()
    return base._replace(job=job, others=others, communicators=_communicators(layout))


def resized(base: EngineJob, stage: Stage[Any], *, gpus: int, engines: int) -> EngineJob:
    """Return what decides the memory of an engine of so many GPUs, of which there are so many."""
    return base._replace(gpus=gpus, sequences=_sequences(stage, engines))


def engine_job(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu) -> EngineJob:
    """Return what decides the memory of a GPU of a rollout engine."""
    rollout, placement = stage.rollout, experiment.placement
    assert isinstance(placement, GpuPlacement), "an engine that is asked about is on GPUs"
    assert not isinstance(rollout, Off), "and samples"
    given = settings_given(rollout.engine)
    is_vllm = rollout.engine.name == "vllm"
    share = given.get("gpu_memory_utilization" if is_vllm else "mem_fraction_static")
    each = placement.gpus_per_engine
    engines = placement.generating_engines()
    chunk = given.get("max_num_batched_tokens" if is_vllm else "chunked_prefill_size")
    return EngineJob(
        model=experiment.model,
        gpus=each,
        sequences=_sequences(stage, engines),
        context=rollout.max_context_tokens,
        weights=weight_format(given.get("quantization")),
        cache_bytes=engine_formats(rollout.engine).cache,
        prefill_tokens=chunk if isinstance(chunk, int) and chunk > 0 else _PROMPT_TOKENS,
        pool_bytes=(share if isinstance(share, float) else _DEFAULT_SHARE) * gpu.memory_gib * GIB,
        is_pool_given=isinstance(share, float),
        pool_has_all=is_vllm,
        has_graphs=gpu.vendor != "cpu"
        and given.get("enforce_eager") is not True
        and given.get("disable_cuda_graph") is not True,
        copies_attention=given.get("enable_dp_attention") is True,
    )


def reader_job(experiment: Experiment[Any], stage: Stage[Any], gpu: Gpu) -> EngineJob | None:
    """Return what decides the memory of a GPU of an engine that reads prompts for others; None where none does.

    It holds prompts alone.
    """
    rollout, placement = stage.rollout, experiment.placement
    assert isinstance(placement, GpuPlacement), "an engine that is asked about is on GPUs"
    group = placement.engine_groups()[0]
    if group.role != "prefill" or isinstance(rollout, Off):
        return None
    generating = engine_job(experiment, stage, gpu)
    prompt = rollout.max_prompt_tokens
    return generating._replace(
        gpus=group.gpus,
        sequences=_sequences(stage, group.engines),
        context=prompt if isinstance(prompt, int) else generating.context,
    )


def _communicators(layout: Layout) -> int:
    return 1 + sum(size > 1 for size in (layout.tp, layout.pp, layout.cp, layout.dp, layout.ep, layout.etp))


def _micro_batches(stage: Stage[Any], layout: Layout, longest: int, tokens: float) -> int:
    of_a_copy = max(1, stage.train.global_batch // layout.dp)
    return max(1, ceil(of_a_copy * longest / tokens))


def _sequences(stage: Stage[Any], engines: int) -> int:
    """Sequences that one engine decodes at once, at most its share of a rollout."""
    rollout = stage.rollout
    assert not isinstance(rollout, Off), "who samples nothing has no engine"
    if not isinstance(rollout, Rollout):
        return rollout.concurrency
    return min(rollout.concurrency, -(-rollout.prompts_per_step * rollout.samples_per_prompt // engines))


def _sampled(stage: Stage[Any]) -> tuple[object, ...]:
    """The numbers that sampling has, of which none may be open."""
    rollout = stage.rollout
    if isinstance(rollout, Off):
        return ()
    numbers = (rollout.max_context_tokens, rollout.concurrency)
    return (*numbers, rollout.prompts_per_step, rollout.samples_per_prompt) if isinstance(rollout, Rollout) else numbers


def longest_sample(experiment: Experiment[Any], stage: Stage[Any]) -> int:
    """Return the tokens that a sample of a stage may have; the model's positions where nothing else bounds them."""
    return experiment.model.max_position_tokens if isinstance(stage.rollout, Off) else stage.rollout.max_context_tokens


def _storage(stage: Stage[Any], given: dict[str, Any], fsdp2: Fsdp2 | None) -> Storage:
    moments = 2 if stage.optim.name == "adamw" else int(stage.optim.momentum > 0)
    if fsdp2 is not None:
        sharding = sharding_of(fsdp2)
        return Storage(weight=4, gradient=4, master=0, moments=4 * moments, shared="all", sharding=sharding)
    is_bf16 = stage.train.precision == "bf16"
    offloads = given.get("optimizer_cpu_offload") is True
    share = float(given.get("optimizer_offload_fraction", 1.0)) if offloads else 0.0
    if given.get("use_precision_aware_optimizer") is True:
        kept = _size(given, "exp_avg_dtype") + _size(given, "exp_avg_sq_dtype") if moments == 2 else 4 * moments
        master = _size(given, "main_params_dtype")
    else:
        kept, master = 4 * moments, 4
    eight_bits = 2.0 if "fp8" in given and given.get("fp8_param_gather") is not True else 0.0
    return Storage(
        weight=2 if is_bf16 else 4,
        gradient=4 if not is_bf16 or given.get("grad_reduce_in_fp32") is True else 2,
        master=master if is_bf16 else 0,
        moments=kept,
        shared="none" if given.get("use_distributed_optimizer") is False else "state",
        offloaded_frac=min(max(share, 0.0), 1.0),
        quantised_copies=eight_bits,
    )


def _size(given: dict[str, Any], key: str) -> int:
    """Bytes of a number of the optimizer's state; fp32 where nobody says."""
    name = str(given.get(key, "fp32"))
    return 1 if "8" in name else 2 if "16" in name else 4


def sharding_of(fsdp2: Fsdp2) -> Sharding:
    """Return how FSDP2 shares everything: a layer that is not given back stays whole, or in fewer parts."""
    given_back = fsdp2.reshard_after_forward
    kept = float(not given_back) if isinstance(given_back, bool) else 1 / max(1, given_back)
    return Sharding(
        groups=fsdp2.dp_replicate_size,
        kept_frac=kept,
        is_on_host=fsdp2.cpu_offload,
        is_pinned=fsdp2.pin_memory,
        reduced=2 if fsdp2.reduce_dtype == "bfloat16" else 4,
    )


def recompute_of(fsdp2: Fsdp2, num_layers: int) -> Recompute:
    """Return what FSDP2's trainer computes again; one layer of so many is as much as so many of the first."""
    policy, freq = fsdp2.activation_checkpointing, fsdp2.activation_checkpointing_freq
    if isinstance(policy, Off):
        return Recompute()
    if policy == "selective":
        return Recompute("selective", (ELEMENTWISE,))
    return Recompute("full") if freq == 1 else Recompute("full", method="block", num_layers=ceil(num_layers / freq))


def _recompute(given: dict[str, Any]) -> Recompute:
    granularity = given.get("recompute_granularity")
    if granularity == "full":
        layers = given.get("recompute_num_layers")
        method = "block" if given.get("recompute_method") == "block" else "uniform"
        return Recompute("full", method=method, num_layers=layers if isinstance(layers, int) else 1)
    if granularity == "selective":
        return Recompute("selective", tuple(given.get("recompute_modules") or _CORES))
    return Recompute()


def _loss(stage: Stage[Any]) -> Loss:
    if isinstance(stage.algorithm.loss, ScoreLoss):
        return Loss("chunked", columns=1)
    return Loss(
        "chunked",
        columns=stage.train.vocab_chunk,
        has_entropy=getattr(stage.algorithm.loss, "entropy_coef", 0.0) != 0,
    )


def _others(stage: Stage[Any], job: Job) -> Lines:
    """A critic of the model's shape without a head, and the weights of a teacher."""
    params, lines = stage.algorithm, ()
    if isinstance(params, ActorCriticParams):
        critic = job.network._replace(tied=True)
        lines = (Line("critic", _most(critic, job.layout, job.storage)),)
    if isinstance(params, TaughtParams):
        frozen = job.storage._replace(gradient=0, master=0, moments=0, quantised_copies=0)
        lines = (*lines, Line("teacher", _most(network_of(params.teacher)._replace(mtp_layers=0), job.layout, frozen)))
    return lines


def _most(network: Network, layout: Layout, storage: Storage) -> float:
    return max(total(static_lines(network, layout, storage, stage)) for stage in {0, layout.pp - 1})


def _waiting(stage: Stage[Any]) -> float:
    rollout = stage.rollout
    if not isinstance(rollout, Rollout):
        return 0.0
    steps = 1 + stage.schedule.lag
    return steps * rollout.prompts_per_step * rollout.samples_per_prompt * rollout.max_context_tokens * _WAITING_BYTES
