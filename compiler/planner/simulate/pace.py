"""What a simulation is told: how long each action of a stage takes when nothing goes wrong, and what goes wrong.

The first follows from a plan; the second is an input of its own, since no plan decides how often a GPU fails.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.simulate.draws import LengthTable
from compiler.planner.simulate.pipeline import Pipeline


class Fleet(NamedTuple):
    """The rollout engines.

    Args:
        engines: how many there are.
        gpus_per_engine: GPUs of each.
        places: sequences that one decodes at once.
        step_s: seconds of one decode step, by the number of sequences: 0 to `places`.
        prefill_s: seconds in which an engine reads the prompt of one group.
        readers: engines that read prompts for these, which then do not.
        read_s: seconds in which one of them reads the prompt of one group.
    """

    engines: int
    gpus_per_engine: int
    places: int
    step_s: tuple[float, ...]
    prefill_s: float = 0.0
    readers: int = 0
    read_s: float = 0.0


class Judging(NamedTuple):
    """How groups are judged: servers that take one group at a time, calls of one group, mean seconds of a call."""

    servers: int = 1
    calls: int = 1
    mean_s: float = 0.0


class Turns(NamedTuple):
    """What answers a policy between its turns: groups at a time, episodes of a group, waits of one, their mean seconds.

    The waits of an episode are added up behind its tokens, as if it had them in a row: meanwhile its engine decodes
    others, as it does in between.
    """

    servers: int = 1
    episodes: int = 1
    waits: float = 0.0
    mean_s: float = 0.0


class Training(NamedTuple):
    """The trainer.

    Args:
        gpus: that train.
        nodes: machines that they are in; the slowest one decides.
        seconds: of all optimizer steps on a batch, with the passes before them.
        pipeline: of a micro-batch's way through its stages, or None without one.
        sync_s: seconds in which the engines get new weights.
        checkpoint_s: seconds of a checkpoint, for which training waits.
        checkpoint_interval: steps from one to the next, or 0 for none but the last.
    """

    gpus: int
    nodes: int
    seconds: float
    pipeline: Pipeline | None = None
    sync_s: float = 0.0
    checkpoint_s: float = 0.0
    checkpoint_interval: int = 0


class Pace(NamedTuple):
    """A stage whose actions take as long as they are predicted to.

    Args:
        samples_per_group: responses to one prompt.
        is_shared: whether both sides have the same GPUs, and fail together.
        left_out_frac: groups that a filter leaves out, and others are begun for.
        turns: of episodes, where there is an environment.
        prefill_gpus: of engines that only read prompts.
        judge_gpus: of a judge's own engines.
    """

    fleet: Fleet
    training: Training
    lengths: LengthTable
    samples_per_group: int
    judging: Judging = Judging()
    is_shared: bool = False
    left_out_frac: float = 0.0
    turns: Turns = Turns()
    prefill_gpus: int = 0
    judge_gpus: int = 0

    @property
    def gpus(self) -> int:
        """All GPUs: of both sides, and of a judge."""
        rollout = self.fleet.engines * self.fleet.gpus_per_engine + self.prefill_gpus
        both = max(rollout, self.training.gpus) if self.is_shared else rollout + self.training.gpus
        return both + self.judge_gpus

    @property
    def failing_gpus(self) -> int:
        """GPUs of which a failure is simulated: of the trainer and of engines that generate."""
        rollout = self.fleet.engines * self.fleet.gpus_per_engine
        return max(rollout, self.training.gpus) if self.is_shared else rollout + self.training.gpus


class Limits(NamedTuple):
    """Seconds after which a wait ends that nobody answers: the [timeouts] of a plan.

    `restart_s` is that of a process that starts again, until it has its GPUs and its weights.
    """

    generation_s: float = 1800.0
    train_step_s: float = 1800.0
    weight_sync_s: float = 600.0
    checkpoint_s: float = 600.0
    restart_s: float = 600.0


class Troubles(NamedTuple):
    """What goes wrong, and how long it takes to go on.

    Source: arXiv:2407.21783, section 3.3.4: 419 unexpected interruptions of 16,384 GPUs in 54 days are one in 50,700
    GPU hours; 42 of them were failures of the network or of its watchdog, which a time limit notices; throughput varied
    by 1 to 2 % with the temperature of the day.

    Args:
        gpu_hours_per_failure: mean GPU hours from one failure to the next; 0 for none.
        hang_frac: failures that stop a process without ending it, so that only a time limit notices them; restarts
            hang as often.
        spread: deviation of the logarithm of a machine's seconds.
        engine_restart_s: until an engine that failed generates again.
        trainer_restart_s: until a trainer that failed trains again, from its last checkpoint.
        limits: when a wait for what hangs, or is too slow, ends.
    """

    gpu_hours_per_failure: float = 50_700.0
    hang_frac: float = 0.1
    spread: float = 0.02
    engine_restart_s: float = 300.0
    trainer_restart_s: float = 600.0
    limits: Limits = Limits()


NONE = Troubles(gpu_hours_per_failure=0.0, spread=0.0)
