"""The root of the schema: what an experiment means.

`Experiment[Auto]` may hold open values; passes close them; `Experiment[Never]` stands in a plan.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.algorithm import AlgorithmParams
from compiler.ir.allowance import Allowance
from compiler.ir.cluster_launch import ClusterLaunch
from compiler.ir.data import (
    Checkpoint,
    Data,
    DemonstrationData,
    Eval,
    PairEval,
    PreferenceData,
    PreferenceEval,
    RankedData,
    ScoredData,
    ScoredEval,
    Until,
)
from compiler.ir.debug import Debug
from compiler.ir.environment import Environment
from compiler.ir.machine import Cluster, GpuPlacement, Log, Parallel, Placement, Run, StageRun
from compiler.ir.model import Model
from compiler.ir.openness import AUTO, OFF, A, Off
from compiler.ir.record import Record, setting
from compiler.ir.rollout import Generation, Reward, Rollout
from compiler.ir.timeouts import Timeouts
from compiler.ir.training import Optim, PolicyTrain, Train

IMPLICIT_STAGE = "main"


class Schedule(Record, Generic[A]):
    """[schedule]: the loop of a stage."""

    mode: Literal["sync", "one_step_off", "async"] | A = setting(
        "Whether sampling waits for training: always; by whole rollouts, of which one is sampled while the one before "
        'is trained on; or only where max_staleness would be exceeded. "auto" is the fastest that the spec allows.',
        default="sync",
    )
    max_staleness: int = setting(
        "Weight updates by which the weights that sampled may be behind those that are trained.",
        default=1,
        unit="weight updates",
        ge=1,
        read_if=("mode", ("async", AUTO)),
    )

    @property
    def lag(self) -> int:
        """Weight updates by which the weights that sampled may be behind, of every mode."""
        if self.mode == "async":
            return self.max_staleness
        return 1 if self.mode == "one_step_off" else 0


class Seeds(Record):
    """Seeds of the independent streams of one stage, derived from run.seed and the stage's index by a counter."""

    data: int = setting("Order of the training data.")
    sampling: int = setting("Draws of the rollout engine.")
    evaluation: int = setting("Draws of the rollout engine when it evaluates.")
    minibatch: int = setting("Order of samples within one rollout, and of a shuffle before they are packed.")


class Budget(Record):
    """What a stage may cost at most, counted before it starts."""

    rollouts: int = setting("Rollouts.", unit="rollouts")
    optimizer_steps: int = setting("Optimizer steps.", unit="optimizer steps")
    samples: int = setting("Samples trained on.", unit="samples")
    max_sampled_tokens: int = setting(
        "Tokens sampled for training, if every response were as long as allowed.", unit="tokens"
    )


class Stage(Record, Generic[A]):
    """One training in a row of trainings on one model."""

    name: str = setting("What the stage is called in metrics and checkpoints.", default=IMPLICIT_STAGE)
    until: Until | Off = setting(
        'Ends the stage early, as `until = "eval.heldout.accuracy >= 0.33"`; run.max_steps always bounds it.',
        default=OFF,
        on_resume="may_change",
    )
    run: StageRun[A] = setting("How long.")
    schedule: Schedule[A] = setting("The loop.")
    algorithm: AlgorithmParams[A] = setting("What is optimised.", spread=True)
    data: Data[A] | DemonstrationData[A] | PreferenceData[A] | RankedData[A] | ScoredData[A] = setting("What is read.")
    rollout: Generation[A] | Rollout[A] | Off = setting("How text is sampled.", default=OFF)
    environment: Environment[A] | Off = setting("What answers the policy between its turns.", default=OFF)
    reward: Reward[A] | Off = setting("How a response is judged.", default=OFF)
    train: Train[A] | PolicyTrain[A] = setting("How a batch is cut.")
    optim: Optim[A] = setting("The update rule.")
    eval: Eval[A] | PreferenceEval[A] | PairEval[A] | ScoredEval[A] | Off = setting(
        "Measurement on what is not trained on.", default=OFF
    )
    checkpoint: Checkpoint = setting("What can be resumed.")
    debug: Debug | Off = setting("A step taken apart, and how far engine and trainer may disagree.", default=OFF)
    reference: Literal["stage_start"] | Off | A = setting(
        "The model that the KL divergence is measured from.", derived=True
    )
    seeds: Seeds | A = setting("Seeds of the stage's random streams.", derived=True)
    budget: Budget | A = setting("What the stage may cost at most.", derived=True, in_hash=False)


class Experiment(Record, Generic[A]):
    """A whole experiment: what is shared, and its stages."""

    rlc: int = setting("Version of the language.", default=1, ge=1, le=1)
    name: str = setting("What the experiment is called; also its run directory.")
    model: Model[A] = setting("The network.")
    cluster: Cluster[A] = setting("The machine.")
    placement: Placement[A] | GpuPlacement[A] = setting("Who sits where.")
    parallel: Parallel[A] | Off = setting("How training is spread over GPUs.", default=OFF)
    timeouts: Timeouts[A] | Off = setting("How long each wait may take.", default=OFF, in_hash=False)
    run: Run = setting("What holds for the whole run.")
    log: Log = setting("What is kept for people to read.")
    launch: ClusterLaunch | Off = setting(
        "How the plan is brought to a cluster; off: by the defaults of this table.", default=OFF, in_hash=False
    )
    allow: tuple[Allowance, ...] = setting(
        "Rules that this experiment breaks on purpose, each with the reason.", default=(), in_hash=False
    )
    stages: tuple[Stage[A], ...] = setting("The trainings, in order.", default=())


def holds_further_layers(experiment: Experiment[A]) -> bool:
    """Whether the layers that predict further tokens are held: a stage trains them, or drafts tokens with them."""
    return any(
        not isinstance(stage.train.mtp, Off)
        or not (isinstance(stage.rollout, Off) or isinstance(stage.rollout.speculation, Off))
        for stage in experiment.stages
    )
