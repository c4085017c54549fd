"""[algo], [critic] and [teacher]: settings that several algorithms share, as groups bound to one table each.

An algorithm of `stdlib/algorithms/` composes its `Params` of these and of its own; a key that belongs to another
algorithm is inert in this one, and the message names those that read it.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.loss import Loss
from compiler.ir.model import Model
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting
from compiler.ir.rollout import CustomCode

_OF_GROUPS = ("rewards", ("group",))
OF_STDLIB = ("advantages", (OFF,))
_OWN_ADVANTAGES = (
    "A function of your own, `file.py:function`, that says what samples or tokens are worth in the place of what the "
    "algorithm makes of rewards; what it says is whitened and clamped like any advantages."
)


class Algo(Record):
    """[algo]: which algorithm."""

    name: str = setting("The algorithm: a file of stdlib/algorithms/.")


class PolicyAlgo(Algo):
    """[algo] of algorithms that train on what the policy samples."""

    whiten: bool = setting(
        "Whether advantages are shifted to mean 0 and scaled to variance 1 over all tokens of the rollout.",
        default=False,
    )
    whiten_variance: Literal["unbiased", "population"] = setting(
        "Variance over n - 1 tokens with 1e-8 added, or over n tokens and at least 1e-8.",
        default="unbiased",
        read_if=("whiten", (True,)),
    )
    advantage_low: float | Off = setting("Advantages below this are raised to it.", default=OFF)
    advantage_high: float | Off = setting("Advantages above this are lowered to it.", default=OFF)
    advantages: str | Off = setting(_OWN_ADVANTAGES, default=OFF)
    code: CustomCode | Off = setting("The function that `advantages` names.", default=OFF, derived=True)


class GroupRelativeAlgo(PolicyAlgo):
    """[algo] of algorithms that compare the responses to one prompt with each other."""

    baseline: Literal["mean", "leave_one_out"] = setting(
        "What a reward is compared with: the mean of its group, or of the others in it. The standard deviation is "
        "taken over the same samples.",
        default="mean",
        read_if=OF_STDLIB,
    )
    normalize_std: bool = setting(
        "Whether advantages are divided by the standard deviation of their group.", default=True, read_if=OF_STDLIB
    )
    std_eps: float = setting(
        "Added to the standard deviation of a group.", default=1e-6, gt=0, read_if=("normalize_std", (True,))
    )
    group_of_one: Literal["zero", "reward"] = setting(
        "What the only sample of a group is worth: nothing, or its reward as it is.",
        default="zero",
        read_if=OF_STDLIB,
    )


class SeveralRewardsAlgo(GroupRelativeAlgo):
    """[algo] of algorithms that compare the samples of a group by each of several rewards."""

    normalize_batch: bool = setting(
        "Whether the sum over rewards is shifted to mean 0 and scaled to deviation 1 over all samples of the rollout.",
        default=True,
        read_if=OF_STDLIB,
    )
    std_eps: float = setting(
        "Added to every standard deviation that something is divided by.", default=1e-6, gt=0, read_if=OF_STDLIB
    )


class CreditAlgo(PolicyAlgo):
    """[algo] of algorithms that give each token a share of what followed it."""

    gamma: float = setting("Discount of what the next token gets.", default=1.0, gt=0, le=1)
    masked_tokens: Literal["skip", "between", "count"] = setting(
        "Whether tokens that the policy did not sample, a tool's answer between two turns, are steps of their own, "
        "which discount as well: none; those before the last sampled token; or all behind the prompt, and the reward "
        "stands on the last token of all.",
        default="skip",
    )


class ReturnsAlgo(CreditAlgo):
    """[algo] of algorithms that take each token's return, without a critic."""

    whiten: bool = setting(
        "Whether advantages are shifted to mean 0 and scaled to variance 1 over all tokens of the rollout.",
        default=True,
    )
    group_baseline: bool = setting(
        "Whether the reward above the mean of its group stands for the return of each token.",
        default=False,
        read_if=OF_STDLIB,
    )
    group_of_one: Literal["zero", "reward"] = setting(
        "What the only sample of a group is worth: nothing, or its reward as it is.",
        default="zero",
        read_if=("group_baseline", (True,)),
    )
    gamma: float = setting(
        "Discount of what the next token gets.", default=1.0, gt=0, le=1, read_if=("group_baseline", (False,))
    )
    masked_tokens: Literal["skip", "between", "count"] = setting(
        "Whether tokens that the policy did not sample, a tool's answer between two turns, are steps of their own, "
        "which discount as well: none; those before the last sampled token; or all behind the prompt, and the reward "
        "stands on the last token of all.",
        default="skip",
        read_if=("group_baseline", (False,)),
    )


class AdvantageEstimationAlgo(CreditAlgo):
    """[algo] of algorithms with a critic: generalised advantage estimation."""

    whiten: bool = setting(
        "Whether advantages are shifted to mean 0 and scaled to variance 1 over all tokens of the rollout.",
        default=True,
    )
    lam: float = setting("Decay of what later tokens add to an advantage: lambda.", default=0.95, ge=0, le=1)
    length_adaptive: float | Off = setting(
        "The policy's lambda is 1 - 1 / (this times the tokens of the response) instead.",
        default=OFF,
        gt=0,
        read_if=OF_STDLIB,
    )
    critic_lam: float | Off = setting(
        "Lambda of the returns that the critic learns, where it is not the policy's.", default=OFF, ge=0, le=1
    )


class GreedyBaselineAlgo(PolicyAlgo):
    """[algo] of algorithms that sample the most likely response to each prompt as well, to compare the others with."""


class TeacherAlgo(GroupRelativeAlgo):
    """[algo] of algorithms whose advantages are what a teacher says of sampled tokens."""

    teacher_coef: float = setting(
        "What the log-prob of the policy less that of the teacher is multiplied by and taken off the advantage of each "
        "token.",
        default=1.0,
        gt=0,
    )
    rewards: Literal["none", "group"] = setting(
        "Whether what the teacher says is all of an advantage, or is added to that of the rewards within each group.",
        default="none",
    )
    advantages: str | Off = setting(_OWN_ADVANTAGES, default=OFF, read_if=_OF_GROUPS)


class Critic(Record):
    """[critic]: the model that says what a state is worth; it begins with the policy's weights and a head of zeros."""

    lr: float = setting("Peak learning rate; the rest of its update rule is that of [optim].", gt=0, le=10)
    warmup_rollouts: int = setting(
        "Rollouts on which the critic alone is trained, before the policy is; the policy's schedule of learning rates "
        "begins behind them.",
        default=0,
        unit="rollouts",
        ge=0,
    )
    value_clip: float | Off = setting(
        "A value may move by this much from what it was when the rollout began.", default=0.2, gt=0
    )
    loss_scale: float = setting("Factor of the squared error.", default=0.5, gt=0)
    reduction: Literal["token", "sequence"] = setting(
        "Mean over all tokens of the global batch, or mean over its sequences of each sequence's mean.", default="token"
    )


class AlgorithmParams(Record, Generic[A]):
    """What an algorithm reads of a spec; subclasses narrow the tables and add their own."""

    algo: Algo = setting("Which algorithm.")
    loss: Loss = setting("How token losses become one number.")


class ActorCriticParams(AlgorithmParams[A]):
    """What an algorithm with a critic reads of a spec."""

    critic: Critic = setting("The model that says what a state is worth.")


class Teacher(Model[A]):
    """[teacher]: the model that is imitated; it reads the tokens of [model], and is never trained."""


class TaughtParams(AlgorithmParams[A]):
    """What an algorithm with a teacher reads of a spec."""

    teacher: Teacher[A] = setting("The model that is imitated.")
