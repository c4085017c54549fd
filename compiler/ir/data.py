"""[data], [eval] and [checkpoint]: what a stage reads, how it is measured, and what it leaves behind."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import SpecPath, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting
from compiler.ir.rollout import Reward


class TextSource(Record):
    """One JSON-lines file of prompts."""

    path: SpecPath = setting("The file, relative to the spec that names it.")
    input_key: str = setting("The key of the prompt: a text, or a list of chat messages.", default="input")
    apply_chat_template: bool = setting(
        "Whether a text prompt is wrapped as a user message; chat messages always go through the template.",
        default=False,
    )


class DataSource(TextSource):
    """[[data.train]]: one JSON-lines file."""

    label_key: str = setting("The key of the label: the right answer, or the text to imitate.", default="label")
    metadata_key: str | Off = setting("The key of further facts that a reward may read.", default=OFF)


class PreferenceSource(TextSource):
    """[[data.train]] of a stage that learns preferences: one JSON-lines file of pairs."""

    chosen_key: str = setting("The key of the better answer, a text.", default="chosen")
    rejected_key: str = setting("The key of the worse answer, a text.", default="rejected")


class RankedSource(PreferenceSource):
    """[[data.train]] of a reward model that learns from pairs: one JSON-lines file of them."""

    margin_key: str | Off = setting(
        "The key of a number by which the better answer has to score more: how much better it was found.", default=OFF
    )


class ScoredSource(TextSource):
    """[[data.train]] of a reward model that learns scores: one JSON-lines file of judged answers."""

    response_key: str = setting("The key of the answer, a text.", default="response")
    score_key: str = setting("The key of its score, a number.", default="score")


class ReadingOrder(Record):
    """[data]: the training data of a stage."""

    shuffle: bool = setting("Whether each epoch has its own order.", default=True)
    malformed_rows: Literal["error", "drop"] = setting(
        "What happens to a training row that is no JSON object, lacks a key or has a value of the wrong type: the run "
        "does not begin, or the row is left out; those that were left out are counted. Held-out rows are never left "
        "out.",
        default="error",
    )


class Data(ReadingOrder):
    """[data]: the training data of a stage."""

    train: tuple[DataSource, ...] = setting("The files, one after another.")


class PreferenceData(ReadingOrder):
    """[data] of a stage that learns preferences."""

    train: tuple[PreferenceSource, ...] = setting("The files, one after another.")


class RankedData(PreferenceData):
    """[data] of a reward model that learns from pairs."""

    train: tuple[RankedSource, ...] = setting("The files, one after another.")


class ScoredData(ReadingOrder):
    """[data] of a reward model that learns scores."""

    train: tuple[ScoredSource, ...] = setting("The files, one after another.")


class EvalSampling(Record, Generic[A]):
    """[eval.sampling]: as [rollout.sampling], from which it inherits what it does not set."""

    temperature: float | A = setting("Divides the logits.", ge=0, le=100)
    top_p: float | A = setting("Keeps the most likely tokens that hold this much probability.", gt=0, le=1)
    top_k: int | Off | A = setting("Keeps this many of the most likely tokens.", unit="tokens", ge=1)


class EvalSet(DataSource, Generic[A]):
    """[[eval.sets]]: held-out prompts, and what is measured on them otherwise than [eval] says."""

    name: str = setting("What its metrics are called: `eval/<name>/accuracy`.")
    reward: Reward[A] | Off = setting("How responses to these prompts are judged; off: as [reward] says.", default=OFF)
    samples_per_prompt: int | A = setting("Responses sampled for each of these prompts.", unit="samples", ge=1)
    max_response_tokens: Tokens | A = setting("Longest response to these prompts.", unit="tokens", ge=1)
    metrics: tuple[Literal["pass", "avg", "cons"], ...] | A = setting("What is measured beside accuracy.")
    k: tuple[int, ...] | A = setting("The sizes k of pass@k and cons@k.", unit="samples")
    answer: Literal["text", "boxed", "last_number"] | Off | A = setting("What of a response is its vote in cons@k.")
    greedy: bool | A = setting("Whether to take the most likely tokens once as well.")
    max_prompts: int | Off | A = setting("At most this many prompts of this set.", unit="prompts", ge=1)
    correct_at: float | A = setting("A response counts as right from this reward on.")
    sampling: EvalSampling[A] = setting("The distribution that tokens are drawn from.")


class PairSet(PreferenceSource):
    """[[eval.pairs]]: held-out pairs of answers, of which the better one is known."""

    name: str = setting("What its metrics are called: `eval/<name>/accuracy`.")
    max_pairs: int | Off = setting("At most this many pairs, the first of the file.", default=OFF, unit="pairs", ge=1)


class ScoredSet(ScoredSource):
    """[[eval.scored]]: held-out answers with their scores."""

    name: str = setting("What its metrics are called: `eval/<name>/mse`.")
    max_rows: int | Off = setting("At most this many answers, the first of the file.", default=OFF, unit="rows", ge=1)


class Measurement(Record):
    """[eval]: when a stage is measured on what it does not train on, and how sure its numbers are."""

    interval: int | Off = setting(
        "Steps between evaluations; the last step of a stage is always evaluated.",
        default=OFF,
        unit="steps",
        ge=1,
        on_resume="may_change",
    )
    at_start: bool = setting("Whether a stage is evaluated before its first step.", default=True)
    confidence: float = setting("Of the interval around each metric.", default=0.95, gt=0, lt=1)


class PairEval(Measurement):
    """[eval] of a stage that is measured on pairs of answers alone."""

    pairs: tuple[PairSet, ...] = setting("Held-out pairs of answers.")


class ScoredEval(Measurement):
    """[eval] of a reward model that learns scores."""

    scored: tuple[ScoredSet, ...] = setting("Held-out answers with their scores.")


class Eval(Measurement, Generic[A]):
    """[eval]: measurement on held-out prompts; each set inherits what it does not say itself."""

    sets: tuple[EvalSet[A], ...] = setting("The held-out prompts.")
    samples_per_prompt: int = setting("Responses sampled for each held-out prompt.", default=1, unit="samples", ge=1)
    max_response_tokens: Tokens | A = setting("Longest response; unless set, as [rollout] says.", unit="tokens", ge=1)
    metrics: tuple[Literal["pass", "avg", "cons"], ...] = setting(
        "What is measured beside accuracy: pass@k (one of k responses is right), avg@n (the mean over n responses), "
        "cons@k (the most frequent answer of k responses is right).",
        default=("pass",),
    )
    k: tuple[int, ...] | A = setting(
        "The sizes k of pass@k and cons@k; unless set, the powers of two from 2 to samples_per_prompt.", unit="samples"
    )
    answer: Literal["text", "boxed", "last_number"] | Off | A = setting(
        "What of a response is its vote in cons@k: the whole text, what its last \\boxed{} holds, or its last number; "
        "unless set, what a reward of the standard library says of itself."
    )
    greedy: bool = setting("Whether to take the most likely tokens once as well.", default=True)
    max_prompts: int | Off = setting("At most this many prompts of each set.", default=OFF, unit="prompts", ge=1)
    correct_at: float = setting("A response counts as right from this reward on.", default=1.0)
    sampling: EvalSampling[A] = setting("The distribution that tokens are drawn from.")


class PreferenceEval(Eval[A]):
    """[eval] of a stage that learns preferences, and samples to be measured."""

    pairs: tuple[PairSet, ...] = setting("Held-out pairs of answers.", default=())


class Checkpoint(Record):
    """[checkpoint]: what can be resumed."""

    interval: int | Off = setting(
        "Steps between checkpoints; the end of a stage is always one.",
        default=OFF,
        unit="steps",
        ge=1,
        on_resume="may_change",
    )


Comparison = Literal[">=", ">", "<=", "<"]


class Until(Record):
    """A measured bound that ends a stage early."""

    metric: str = setting("The metric, as metrics.jsonl names it.")
    op: Literal[">=", ">", "<=", "<"] = setting("How it is compared.")
    threshold: float = setting("What it is compared with.")
