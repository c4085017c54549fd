"""[loss]: settings of losses that several algorithms share, as groups bound to one table each."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting
from compiler.ir.rollout import CustomCode

Estimator = Literal["k1", "k2", "k3"]
Reduction = Literal["token", "sequence", "constant", "sum"]
Level = Literal["token", "sequence", "geometric"]

_BOUNDED = ("bound", ("truncate", "clip", "mask"))
_MEASURED = ("estimator", ("k1", "k2", "k3"))
_REJECTED = ("level", ("token", "sequence", "geometric"))
_CORRECTED = ("bound", ("none", "truncate", "clip", "mask"))
_OF_TOPK = ("vocabulary", ("topk",))
RATIO_MOVES = ("old_logprobs", ("rollout", "recompute"))


class Loss(Record):
    """[loss]: how what is known of tokens becomes one number."""


class TokenLoss(Loss):
    """[loss] of algorithms that take a mean over tokens."""

    empty_sequences: Literal["count", "skip"] = setting(
        "Whether a sequence of which no token counts is a zero in the mean over sequences, or is not in it.",
        default="count",
        read_if=("reduction", ("sequence", "constant")),
    )
    empty_as_token: bool = setting(
        "Whether a sequence of which no token counts adds one to the tokens that their sum is divided by.",
        default=False,
        read_if=("reduction", ("token",)),
    )


class LikelihoodLoss(TokenLoss):
    """[loss] of supervised algorithms."""

    reduction: Literal["token", "sequence"] = setting(
        "Mean over all tokens of the global batch, or mean over sequences of each sequence's mean.", default="token"
    )


class DistillationLoss(LikelihoodLoss):
    """[loss] of distillation: a divergence between the distributions of teacher and student at each sampled token."""

    divergence: Literal["forward", "reverse", "mixed"] = setting(
        "What is made small: KL(teacher || student), so that the student covers all that the teacher does; "
        "KL(student || teacher), so that it keeps to what the teacher does most; or a sum of both.",
        default="reverse",
    )
    forward_weight: float = setting(
        "Weight of KL(teacher || student) in the sum; KL(student || teacher) has the rest.",
        default=0.5,
        ge=0,
        le=1,
        read_if=("divergence", ("mixed",)),
    )
    vocabulary: Literal["full", "topk"] = setting(
        "Whether the sums run over the whole vocabulary, or over the teacher's most likely tokens only.",
        default="full",
    )
    topk: int = setting(
        "How many of the teacher's most likely tokens there are; their probabilities are scaled to add up to 1.",
        default=64,
        unit="tokens",
        ge=1,
        read_if=_OF_TOPK,
    )
    outside_topk: Literal["left_out", "zero"] = setting(
        "What the student's other tokens are: left out, its probabilities of the teacher's tokens scaled to add up to "
        "1; or tokens to which the teacher gives a log-prob of -100.",
        default="left_out",
        read_if=_OF_TOPK,
    )
    temperature: float = setting("Divides the logits of both before they are compared.", default=1.0, gt=0)


class PreferenceLoss(Loss):
    """[loss] of direct preference optimisation."""

    beta: float = setting(
        "How much a difference of log-probs is worth: the inverse of the KL penalty.", default=0.1, gt=0
    )
    kind: Literal["sigmoid", "hinge", "ipo"] = setting(
        "The loss of a margin m: -log sigmoid(beta m), max(0, 1 - beta m), or (m - 1 / (2 beta))^2.", default="sigmoid"
    )
    label_smoothing: float = setting(
        "Probability that a pair is the wrong way round.", default=0.0, ge=0, lt=0.5, read_if=("kind", ("sigmoid",))
    )
    average_logprobs: bool = setting(
        "Whether the log-prob of an answer is the mean over its tokens instead of their sum.", default=False
    )
    preference_coef: float = setting("Weight of the preference loss.", default=1.0, ge=0)
    sft_coef: float = setting("Weight of the negative log-likelihood of the better answer.", default=0.0, ge=0)
    sft_average: bool = setting(
        "Whether that likelihood is the mean over the answer's tokens instead of their sum.", default=True
    )


class ScoreLoss(Loss):
    """[loss] of reward models."""

    kind: Literal["bradley_terry", "regression"] = setting(
        "What is learnt: which of two answers is better, by -log sigmoid of the difference of their scores; or the "
        "score of each answer, by the squared error.",
        default="bradley_terry",
    )
    center_coef: float = setting(
        "Weight of the squared sum of a pair's two scores, which keeps scores around 0: pairs say nothing of where "
        "they lie.",
        default=0.0,
        ge=0,
        read_if=("kind", ("bradley_terry",)),
    )


class KL(Record):
    """[loss.kl]: distance from the reference model."""

    estimator: Literal["k1", "k2", "k3"] | Off = setting(
        "The estimator of the KL divergence, measured even where its coefficient is 0.", default=OFF
    )
    coef: float = setting("Weight of the KL divergence; 0 only monitors it.", default=0.0, ge=0)
    input_clamp: float | Off = setting(
        "The difference of log-probs is clamped to plus and minus this before it is estimated from.",
        default=OFF,
        unit="nats",
        gt=0,
        read_if=_MEASURED,
    )
    output_clamp: float | Off = setting(
        "The estimate is clamped to plus and minus this.", default=OFF, unit="nats", gt=0, read_if=_MEASURED
    )
    weight: Literal["none", "score", "old", "rollout"] = setting(
        "What multiplies the estimate of a token as a term of the loss: nothing; the ratio of the policy to itself, 1 "
        "with the gradient of the log-prob; the ratio to the old policy; or to the engine that sampled.",
        default="none",
        read_if=_MEASURED,
    )
    refresh_steps: int | Off = setting(
        "Steps after which the reference takes over the policy's weights, again and again.",
        default=OFF,
        unit="steps",
        ge=1,
        read_if=_MEASURED,
    )


class PenaltyKL(KL):
    """[loss.kl] of algorithms that credit each token by itself."""

    place: Literal["loss", "reward"] = setting(
        "Whether the KL divergence is a term of the loss, or taken off the reward of each token.",
        default="loss",
        read_if=_MEASURED,
    )


class Mismatch(Record):
    """[loss.mismatch]: importance weights between the engine that sampled and the trainer before its first update."""

    function: str | Off = setting(
        "A function of your own, `file.py:function`, that says the weight of each token from the log-probs of both.",
        default=OFF,
    )
    code: CustomCode | Off = setting("The function that `function` names.", default=OFF, derived=True)
    bound: Literal["none", "truncate", "clip", "mask"] | Off = setting(
        "What happens to weights out of bounds: nothing; those above are lowered; those below are raised as well; or "
        "the tokens are left out of the loss.",
        default=OFF,
        read_if=("function", (OFF,)),
    )

    @property
    def is_on(self) -> bool:
        """Whether there are any weights."""
        return not (isinstance(self.bound, Off) and isinstance(self.function, Off))

    level: Literal["token", "sequence", "geometric"] = setting(
        "The weight of each token; or one for a sequence: the product of its tokens' weights, or their geometric mean.",
        default="token",
        read_if=_CORRECTED,
    )
    low: float = setting("Lowest weight.", default=0.0, ge=0, read_if=("bound", ("clip", "mask")))
    high: float = setting("Highest weight.", default=2.0, gt=0, read_if=_BOUNDED)
    normalize: bool = setting(
        "Whether weights are divided by their mean over all tokens of the rollout.", default=False, read_if=_CORRECTED
    )


class Rejection(Record):
    """[loss.rejection]: tokens or whole sequences left out because engine and trainer disagree too much on them."""

    level: Literal["token", "sequence", "geometric"] | Off = setting(
        "What is judged by its weight and left out: a token; a sequence by the product of its tokens' weights; or by "
        "their geometric mean.",
        default=OFF,
    )
    low: float = setting("Lowest weight that is kept.", default=0.5, ge=0, read_if=_REJECTED)
    high: float = setting("Highest weight that is kept.", default=2.0, gt=0, read_if=_REJECTED)
    veto_below: float | Off = setting(
        "A sequence with a token of a smaller weight is left out altogether.", default=OFF, gt=0, lt=1
    )
    left_out: Literal["count", "skip"] = setting(
        "Whether tokens that `level` or `veto_below` leaves out still count in means over tokens and sequences, as "
        "zeros, or are masked as if they had not been sampled, for advantages too.",
        default="count",
    )
    max_error: float | Off = setting(
        "A sequence is masked, as if nothing in it had been sampled, if its mean of exp(|engine log-prob - trainer "
        "log-prob|) is above this; `empty_sequences` says whether a mean over sequences counts it.",
        default=OFF,
        ge=1,
    )


class PositiveNll(Record):
    """[loss.positive_nll]: the likelihood of responses that are right, as a term of its own."""

    coef: float = setting(
        "Weight of the mean of -log-prob over all tokens of right responses of the global batch.", default=0.1, gt=0
    )
    correct_at: float = setting("A response counts as right from this reward on, before shaping.", default=1.0)


class PolicyLoss(TokenLoss, Generic[A]):
    """[loss] of algorithms that train on what the policy samples."""

    reduction: Literal["token", "sequence", "constant", "sum"] = setting(
        "Mean over all tokens of the global batch; mean over sequences of each sequence's mean; mean over sequences "
        "of each sequence's sum divided by a constant; or the sum over all tokens divided by that constant.",
        default="token",
    )
    reducer: str | Off = setting(
        "A function of your own, `file.py:function`, that says what each token of an optimizer batch weighs in the sum "
        "that is the policy's loss, in the place of `reduction`; entropy, KL divergence and metrics keep that.",
        default=OFF,
    )
    code: CustomCode | Off = setting("The function that `reducer` names.", default=OFF, derived=True)
    constant_tokens: int | A = setting(
        "What the sum of a sequence, or of all of them, is divided by; the longest response unless set.",
        unit="tokens",
        ge=1,
        read_if=("reduction", ("constant", "sum")),
    )
    entropy_coef: float = setting("Weight of the entropy bonus.", default=0.0)
    positive_nll: PositiveNll | Off = setting("The likelihood of responses that are right.", default=OFF)
    old_logprobs: Literal["rollout", "recompute", "current"] = setting(
        "Where the denominator of the ratio comes from: the engine that sampled, the trainer before its first update, "
        "or the policy as it is now (which makes every ratio 1).",
        default="rollout",
    )
    kl: KL = setting("Distance from the reference model.")
    mismatch: Mismatch = setting("Importance weights between engine and trainer.")
    rejection: Rejection = setting("What is left out because engine and trainer disagree.")
    opsm_delta: float | Off = setting(
        "A sequence with a negative advantage is left out once its mean log-prob has fallen by more than this since "
        "it was sampled.",
        default=OFF,
        unit="nats",
        gt=0,
        read_if=RATIO_MOVES,
    )


class MovingRatioLoss(PolicyLoss[A]):
    """[loss] of algorithms that weigh by the ratio of the policy to the one that sampled."""

    log_ratio_clamp: float | Off = setting(
        "The log of the ratio, a token's or a sequence's, is clamped to plus and minus this before anything else.",
        default=OFF,
        unit="nats",
        gt=0,
        read_if=RATIO_MOVES,
    )


class RatioLoss(MovingRatioLoss[A]):
    """[loss] of algorithms that bound that ratio."""

    clip_low: float = setting("The ratio is clipped below 1 minus this.", default=0.2, ge=0, le=1, read_if=RATIO_MOVES)
    clip_high: float | A = setting(
        "The ratio is clipped above 1 plus this; equals clip_low unless set.", ge=0, read_if=RATIO_MOVES
    )


class ClippedLoss(RatioLoss[A]):
    """[loss] of algorithms with PPO's clipped surrogate."""

    dual_clip: float | Off = setting(
        "With a negative advantage A the loss of a token is at most this times -A.",
        default=OFF,
        gt=1,
        read_if=RATIO_MOVES,
    )
    max_ratio: float | Off = setting(
        "The ratio is at most this where it is not clipped.", default=OFF, gt=1, read_if=RATIO_MOVES
    )


class PenalizedLoss(ClippedLoss[A]):
    """[loss] of clipped algorithms that credit each token by itself."""

    kl: PenaltyKL = setting("Distance from the reference model.")
