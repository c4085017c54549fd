"""[algo] and [loss]: settings that several algorithms share, as groups bound to one table each.

An algorithm of `stdlib/algorithms/` composes its `Params` of these and of its own; a key that belongs to another
algorithm is inert in this one, and the message names those that read it.
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting

Estimator = Literal["k1", "k2", "k3"]


_RATIO_MOVES = ("old_logprobs", ("rollout", "recompute"))


class Algo(Record):
    """[algo]: which algorithm."""

    name: str = setting("The algorithm: a file of stdlib/algorithms/.")


class GroupRelativeAlgo(Algo):
    """[algo] of algorithms that compare the responses to one prompt with each other."""

    normalize_std: bool = setting(
        "Whether advantages are divided by the standard deviation of their group.", default=True
    )
    std_eps: float = setting(
        "Added to the standard deviation of a group.", default=1e-6, gt=0, read_if=("normalize_std", (True,))
    )


class Loss(Record):
    """[loss]: how token losses become one number."""

    reduction: Literal["token", "sequence"] = setting(
        "Mean over all tokens of the global batch, or mean over sequences of each sequence's mean.", default="token"
    )


class KL(Record):
    """[loss.kl]: distance from the reference model."""

    estimator: Literal["k1", "k2", "k3"] | Off = setting(
        "The estimator of the KL divergence, measured even where its coefficient is 0.", default=OFF
    )
    coef: float = setting("Weight of the KL divergence in the loss; 0 only monitors it.", default=0.0, ge=0)


class PolicyLoss(Loss, Generic[A]):
    """[loss] of clipped policy-gradient algorithms."""

    clip_low: float = setting("The ratio is clipped below 1 minus this.", default=0.2, ge=0, le=1, read_if=_RATIO_MOVES)
    clip_high: float | A = setting(
        "The ratio is clipped above 1 plus this; equals clip_low unless set.", ge=0, read_if=_RATIO_MOVES
    )
    entropy_coef: float = setting("Weight of the entropy bonus.", default=0.0)
    old_logprobs: Literal["rollout", "recompute", "current"] = setting(
        "Where the denominator of the ratio comes from: the engine that sampled, the trainer before its first update, "
        "or the policy as it is now (which makes every ratio 1).",
        default="rollout",
    )
    kl: KL = setting("Distance from the reference model.")


class AlgorithmParams(Record, Generic[A]):
    """What an algorithm reads of a spec; subclasses narrow the tables and add their own."""

    algo: Algo = setting("Which algorithm.")
    loss: Loss = setting("How token losses become one number.")
