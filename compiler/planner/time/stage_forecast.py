"""The forecast of a stage's time, as it stands in a plan: numbers of four digits, which is more than they are worth."""

from __future__ import annotations

from compiler.diagnostics.annotations import Never
from compiler.ir.catalogue import Gpu
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.openness import OFF, Off
from compiler.ir.plan import PhaseTime, StageTime
from compiler.planner.time.constants import RATES
from compiler.planner.time.evaluation import evaluations_of
from compiler.planner.time.experiment_facts import step_job
from compiler.planner.time.speed import peak_flops
from compiler.planner.time.step import TRAIN, step_seconds
from compiler.planner.time.training import train_flops

_HOUR = 3600


def stage_time(experiment: Experiment[Never], stage: Stage[Never], gpu: Gpu) -> StageTime | Off:
    """Return what is predicted of the time of a stage; nothing where only its data says how long rows are."""
    job = step_job(experiment, stage, gpu)
    if job is None:
        return OFF
    step = step_seconds(job, RATES)
    trainer, seconds, gpus = job.trainer, step.total, experiment.cluster.num_gpus
    layout, batches = trainer.job.layout, trainer.job.micro_batches * job.optimizer_steps
    tokens = trainer.job.tokens.count * batches * layout.dp
    flops = train_flops(trainer) * batches * layout.dp * job.trained_networks
    trains_on = layout.tp * layout.pp * layout.cp * layout.dp
    peak = peak_flops(trainer.gpu, trainer.number) * trains_on
    measured = evaluations_of(experiment, stage, job)
    hours = (seconds * stage.run.max_steps + measured.total) * gpus / _HOUR
    price = experiment.cluster.usd_per_gpu_hour
    return StageTime(
        phases=tuple(PhaseTime(name=one.name, side=one.side, seconds=_short(one.seconds)) for one in step.phases),
        overlaps=step.overlaps,
        step_seconds=_short(seconds),
        tokens_per_s=_short(tokens / seconds),
        tokens_per_s_per_gpu=_short(tokens / seconds / gpus),
        mfu=_short(flops / (step.of(TRAIN) * peak)) if job.trains else 0.0,
        evaluations=measured.count,
        evaluation_seconds=_short(measured.seconds),
        gpu_hours=_short(hours),
        usd=OFF if isinstance(price, Off) else _short(hours * price),
    )


def _short(number: float) -> float:
    return float(f"{number:.4g}")
