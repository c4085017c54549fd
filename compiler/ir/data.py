"""[data], [eval] and [checkpoint]: what a stage reads, how it is measured, and what it leaves behind."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import Seconds, SpecPath, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting
from compiler.ir.rollout import CustomCode, Reward


class TextSource(Record, Generic[A]):
    """Rows that begin with a prompt: of a file, a folder, a data set of the hub, or a function."""

    path: SpecPath | Off = setting(
        "A file of rows (.jsonl, .parquet), or a folder that the library `datasets` saved, relative to the spec that "
        "names it.",
        default=OFF,
    )
    hub: str | Off = setting(
        "A data set of the Hugging Face hub, as `owner/name`, read by the library `datasets`; no code of it runs.",
        default=OFF,
    )
    function: str | Off = setting(
        "A function of your own that yields rows, as `file.py:function` or `module:function`.", default=OFF
    )
    format: Literal["jsonl", "parquet", "arrow", "hub", "function"] | A = setting(
        "How rows are stored; unless set, as the suffix of the path says. `arrow` is a folder that `save_to_disk` "
        "wrote."
    )
    subset: str | Off = setting("The configuration of a data set of the hub, where it has several.", default=OFF)
    split: str | Off = setting("The split of a data set of the hub, or of a saved folder with several.", default=OFF)
    revision: str | Off = setting("The commit, tag or branch of a data set of the hub.", default=OFF)
    rows: str | Off = setting(
        "Which of the rows: `1000:2000` are those from number 1000 up to 1999, counted from 0; either side may be "
        "left out.",
        default=OFF,
    )
    input_key: str = setting("The key of the prompt: a text, or a list of chat messages.", default="input")
    tools_key: str | Off = setting(
        "The key of the tools that the chat template is given: a list of JSON schemas, or that list as a JSON text.",
        default=OFF,
    )
    apply_chat_template: bool = setting(
        "Whether a text prompt is wrapped as a user message; chat messages always go through the template.",
        default=False,
    )
    timeout_s: Seconds = setting(
        "Longest time that a function of your own may take for one row; the run ends where it takes longer.",
        default=300.0,
        unit="seconds",
        gt=0,
        on_resume="may_change",
    )
    code: CustomCode | Off | A = setting(
        "The function of your own, with the digest of its file.", default=OFF, derived=True
    )

    @property
    def called(self) -> str:
        """What messages and metrics call it: what the spec names."""
        said = [one for one in (self.path, self.hub, self.function) if isinstance(one, str)]
        return said[0] if said else ""


class DataSource(TextSource[A], Generic[A]):
    """Prompts with a label."""

    label_key: str = setting("The key of the label: the right answer, or the text to imitate.", default="label")
    metadata_key: str | Off = setting("The key of further facts that a reward may read.", default=OFF)


class TrainSource(DataSource[A], Generic[A]):
    """[[data.train]]: rows to train on."""

    weight: float | Off = setting(
        "Share of the rows that are drawn from this source, relative to the weights of the others; off: one source "
        "after another.",
        default=OFF,
        gt=0,
    )
    streaming: bool = setting(
        "Whether rows are read in order while the run goes on, and never all held; they are judged when drawn.",
        default=False,
    )


class DemonstrationSource(TrainSource[A], Generic[A]):
    """[[data.train]] of a stage that imitates."""

    learn: Literal["assistant", "last", "marked"] = setting(
        "Which messages of a conversation are learned: all of the assistant, its last one, or those of the assistant "
        "whose mark is not 0.",
        default="assistant",
    )
    mark_key: str = setting(
        "The key of a message that holds its mark, 0 or 1; a message without it is learned.",
        default="step_loss_mask",
        read_if=("learn", ("marked",)),
    )


class PairSource(TextSource[A], Generic[A]):
    """Pairs of answers, of which one is the better."""

    chosen_key: str = setting("The key of the better answer, a text.", default="chosen")
    rejected_key: str = setting("The key of the worse answer, a text.", default="rejected")


class PreferenceSource(PairSource[A], Generic[A]):
    """[[data.train]] of a stage that learns preferences: pairs of answers."""

    weight: float | Off = setting(
        "Share of the rows that are drawn from this source, relative to the weights of the others; off: one source "
        "after another.",
        default=OFF,
        gt=0,
    )
    streaming: bool = setting(
        "Whether rows are read in order while the run goes on, and never all held; they are judged when drawn.",
        default=False,
    )


class RankedSource(PreferenceSource[A], Generic[A]):
    """[[data.train]] of a reward model that learns from pairs."""

    margin_key: str | Off = setting(
        "The key of a number by which the better answer has to score more: how much better it was found.", default=OFF
    )


class JudgedSource(TextSource[A], Generic[A]):
    """Answers with a score each."""

    response_key: str = setting("The key of the answer, a text.", default="response")
    score_key: str = setting("The key of its score, a number.", default="score")


class ScoredSource(JudgedSource[A], Generic[A]):
    """[[data.train]] of a reward model that learns scores: judged answers."""

    weight: float | Off = setting(
        "Share of the rows that are drawn from this source, relative to the weights of the others; off: one source "
        "after another.",
        default=OFF,
        gt=0,
    )
    streaming: bool = setting(
        "Whether rows are read in order while the run goes on, and never all held; they are judged when drawn.",
        default=False,
    )


class ReadingOrder(Record):
    """[data]: the training data of a stage."""

    shuffle: bool = setting("Whether each epoch has its own order.", default=True)
    shuffle_window: int = setting(
        "Rows of a stream that are held at once, and within which their order is drawn.",
        default=10_000,
        unit="rows",
        ge=1,
    )
    check: Literal["at_start", "as_read"] = setting(
        "When rows of files and data sets are judged: all before anything is trained, or each when it is drawn. Rows "
        "of streams and functions are always judged when drawn.",
        default="at_start",
    )
    malformed_rows: Literal["error", "drop"] = setting(
        "What happens to a training row that is no JSON object, lacks a key or has a value of the wrong type: the run "
        "does not begin, or ends where rows are judged when drawn, or the row is left out; those that were left out "
        "are counted. Held-out rows are never left out.",
        default="error",
    )
    workers: int = setting(
        "Threads that turn rows into tokens.", default=1, unit="threads", ge=1, le=256, on_resume="may_change"
    )
    prefetch: int = setting(
        "Steps whose rows are made ready ahead of time, where they are judged when drawn.",
        default=2,
        unit="steps",
        ge=0,
        le=1024,
        on_resume="may_change",
    )


class Data(ReadingOrder, Generic[A]):
    """[data]: the training data of a stage."""

    train: tuple[TrainSource[A], ...] = setting("The sources, one after another, or mixed by their weights.")


class Samples(ReadingOrder):
    """[data] of a stage whose rows are its samples."""

    expected_sample_tokens: Tokens | Off = setting(
        "Length of a sample on average, as far as it is known: prompt and answer, or both answers of a pair with their "
        "prompts; a step's time is forecast with it on GPUs, and not without.",
        default=OFF,
        unit="tokens",
        ge=1,
        in_hash=False,
    )


class DemonstrationData(Samples, Generic[A]):
    """[data] of a stage that imitates."""

    train: tuple[DemonstrationSource[A], ...] = setting("The sources, one after another, or mixed by their weights.")


class PreferenceData(Samples, Generic[A]):
    """[data] of a stage that learns preferences."""

    train: tuple[PreferenceSource[A], ...] = setting("The sources, one after another, or mixed by their weights.")


class RankedData(PreferenceData[A], Generic[A]):
    """[data] of a reward model that learns from pairs."""

    train: tuple[RankedSource[A], ...] = setting("The sources, one after another, or mixed by their weights.")


class ScoredData(Samples, Generic[A]):
    """[data] of a reward model that learns scores."""

    train: tuple[ScoredSource[A], ...] = setting("The sources, one after another, or mixed by their weights.")


class EvalSampling(Record, Generic[A]):
    """[eval.sampling]: as [rollout.sampling], from which it inherits what it does not set."""

    temperature: float | A = setting("Divides the logits.", ge=0, le=100)
    top_p: float | A = setting("Keeps the most likely tokens that hold this much probability.", gt=0, le=1)
    top_k: int | Off | A = setting("Keeps this many of the most likely tokens.", unit="tokens", ge=1)


class EvalSet(DataSource[A], Generic[A]):
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


class PairSet(PairSource[A], Generic[A]):
    """[[eval.pairs]]: held-out pairs of answers, of which the better one is known."""

    name: str = setting("What its metrics are called: `eval/<name>/accuracy`.")
    max_pairs: int | Off = setting("At most this many pairs, the first of the source.", default=OFF, unit="pairs", ge=1)


class ScoredSet(JudgedSource[A], Generic[A]):
    """[[eval.scored]]: held-out answers with their scores."""

    name: str = setting("What its metrics are called: `eval/<name>/mse`.")
    max_rows: int | Off = setting("At most this many answers, the first of the source.", default=OFF, unit="rows", ge=1)


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


class PairEval(Measurement, Generic[A]):
    """[eval] of a stage that is measured on pairs of answers alone."""

    pairs: tuple[PairSet[A], ...] = setting("Held-out pairs of answers.")


class ScoredEval(Measurement, Generic[A]):
    """[eval] of a reward model that learns scores."""

    scored: tuple[ScoredSet[A], ...] = setting("Held-out answers with their scores.")


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


class PreferenceEval(Eval[A], Generic[A]):
    """[eval] of a stage that learns preferences, and samples to be measured."""

    pairs: tuple[PairSet[A], ...] = setting("Held-out pairs of answers.", default=())


class Checkpoint(Record):
    """[checkpoint]: what can be resumed."""

    interval: int | Off = setting(
        "Steps between checkpoints; the end of a stage is always one.",
        default=OFF,
        unit="steps",
        ge=1,
        on_resume="may_change",
    )
    asynchronous: bool = setting(
        "Whether training goes on while a checkpoint is written; one at a time is.",
        default=True,
        in_hash=False,
        on_resume="may_change",
    )
    keep_latest: int | Off = setting(
        "Newest checkpoints that are kept; off keeps all.",
        default=OFF,
        unit="checkpoints",
        ge=1,
        in_hash=False,
        on_resume="may_change",
    )
    keep_best: int | Off = setting(
        "Checkpoints of a stage that are kept beside the newest: those that measured best.",
        default=OFF,
        unit="checkpoints",
        ge=1,
        in_hash=False,
        on_resume="may_change",
    )
    best_by: str | Off = setting(
        "What says which are best, as `until` names it: eval.heldout.accuracy.  Of a loss the lowest is.",
        default=OFF,
        in_hash=False,
        on_resume="may_change",
    )


Comparison = Literal[">=", ">", "<=", "<"]


class Until(Record):
    """A measured bound that ends a stage early."""

    metric: str = setting("The metric, as metrics.jsonl names it.")
    op: Literal[">=", ">", "<=", "<"] = setting("How it is compared.")
    threshold: float = setting("What it is compared with.")
