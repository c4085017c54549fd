"""[reward.NAME]: settings of single rewards, each in a table called after the reward that reads it.

They are records of the schema and not of the reward's own file, so that neither compiling nor reading a saved plan
imports a reward (docs/decisions/0020).
"""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import Seconds, SpecPath, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.record import Record, setting

# Rewards that put others together; `terms` are theirs.
SUM = "weighted_sum"
BY_ROW = "by_row"
COMBINED = (SUM, BY_ROW)

# What the url of a judge says for the address of one that the plan places.
PLACED = "{judge}"

# Rewards that may also be asked about the text of the last \boxed{...} alone.
BOXABLE = ("exact", "f1", "gpqa", "math", "regex")
BOXED = "boxed_"


def base_name(name: str) -> str:
    """Return the reward behind a name: `math` of `boxed_math`."""
    inner = name.removeprefix(BOXED)
    return inner if inner in BOXABLE else name


class MathReward(Record):
    """[reward.math]: equality of the final answer and the label."""

    compare: Literal["value", "text"] = setting(
        "Whether values are compared, by math-verify, or the texts of the last box and of the label in the one "
        "spelling of MATH's own grader, for which 42.0 is not 42.",
        default="value",
    )


class DapoReward(Record):
    """[reward.dapo]: the final answer behind "Answer:" at the end of a response."""

    tail_characters: int = setting(
        "How much of the end of a response is looked at.", default=300, unit="characters", ge=1
    )
    wrong_score: float = setting("What a wrong answer, or none, scores; a right one scores 1.", default=-1.0)
    spelling: Literal["folded", "minerva"] = setting(
        "The one spelling that both sides are brought into: one in which 42.0 is 42 and \\dfrac12 is 1/2, or exactly "
        "that of Minerva's appendix.",
        default="folded",
    )
    label: Literal["text", "integer"] = setting(
        "Whether the label is compared as it is, or cut to a whole number first; then no other text can be a label.",
        default="text",
    )
    unanswered: Literal["wrong", "boxed"] = setting(
        'What is done where nothing stands behind "Answer:": it is wrong, or the last box of the last 100 characters '
        "counts, which has to be the label to the letter.",
        default="wrong",
    )


class RegexReward(Record):
    """[reward.regex]: a pattern that a response is searched for."""

    pattern: str = setting("A regular expression in Python's syntax; it is searched for anywhere in the response.")
    ignore_case: bool = setting("Whether letters match in either case.", default=False)
    compare: Literal["presence", "label"] = setting(
        "Whether a match is enough, or the text of its first group (of all of it, without one) has to be the label.",
        default="presence",
    )


class FormatReward(Record):
    """[reward.format]: a response made of tagged parts and nothing else."""

    tags: tuple[str, ...] = setting(
        "The parts in their order: each stands once, as `<tag>...</tag>`.", default=("think", "answer")
    )


class IfBenchReward(Record):
    """[reward.ifbench]: instructions whose following can be checked."""

    mode: Literal["strict", "loose"] = setting(
        "Whether the response is judged as it is, or passes where it would without its first line, its last line or "
        "its asterisks.",
        default="strict",
    )
    score: Literal["all", "fraction"] = setting(
        "Whether only all instructions together score 1, or each its share.", default="all"
    )


class CodeTestsReward(Record):
    """[reward.code_tests]: a program that is run on tests, in a sandbox."""

    timeout_s: Seconds = setting("Longest time that one test may take.", default=6.0, unit="seconds", gt=0, le=3600)
    memory_mib: int = setting("Address space of the program.", default=1024, unit="MiB", ge=64)
    output_kib: int = setting("Most that the program may write out.", default=1024, unit="KiB", ge=1)
    scratch_mib: int | Off = setting(
        "A folder in memory that the program may write to; off leaves it nothing to write to.",
        default=OFF,
        unit="MiB",
        ge=1,
    )
    max_tests: int | Off = setting("At most this many tests of a row, its first ones.", default=OFF, unit="tests", ge=1)
    processes: int = setting("Programs run at once.", default=2, unit="processes", ge=1, le=256, on_resume="may_change")
    score: Literal["all", "fraction"] = setting(
        "Whether only all tests together score 1, or each its share.", default="all"
    )


class RewardModel(Record):
    """[reward.reward_model]: a sequence-classification model whose one output is the score."""

    path: SpecPath = setting("A Hugging Face directory with config.json, safetensors and a tokenizer.")
    max_tokens: Tokens = setting(
        "Longest prompt and response together; a longer one is a failed judgement.", default=4096, unit="tokens", ge=1
    )
    batch_tokens: Tokens = setting(
        "Tokens judged at once, padding included.", default=16384, unit="tokens", ge=1, on_resume="may_change"
    )
    precision: Literal["fp32", "bf16"] = setting("What the model computes in.", default="fp32")
    squash: Literal["none", "sigmoid"] = setting("What is done to the output of the model.", default="none")
    ends_with_eos: bool = setting(
        "Whether the end of sequence stands behind what is judged, and nothing after it: a reward model that rlc has "
        "trained is read there; others often where their chat template ends.",
        default=False,
    )


class Service(Record):
    """What the rewards that ask a service have in common."""

    url: str = setting("Where the service answers, as http:// or https://.", on_resume="may_change")
    token_env: str | Off = setting(
        "The environment variable with the token that is sent as `Authorization: Bearer`.",
        default=OFF,
        on_resume="may_change",
    )
    timeout_s: Seconds = setting(
        "Longest time that one attempt may take.", default=120.0, unit="seconds", gt=0, on_resume="may_change"
    )
    attempts: int = setting(
        "Attempts at one question, the first included; refused connections, timeouts and the statuses 408, 425, 429 "
        "and 5xx are tried again.",
        default=10,
        unit="attempts",
        ge=1,
        le=100,
        on_resume="may_change",
    )
    backoff_s: Seconds = setting(
        "Pause before the second attempt; it doubles from there.",
        default=1.0,
        unit="seconds",
        ge=0,
        on_resume="may_change",
    )
    max_backoff_s: Seconds = setting(
        "Longest pause between two attempts.", default=30.0, unit="seconds", ge=0, on_resume="may_change"
    )
    max_connections: int = setting(
        "Connections open at once.", default=64, unit="connections", ge=1, on_resume="may_change"
    )


class RemoteReward(Service):
    """[reward.remote]: a reward model behind HTTP, which is sent {prompt, response, label} as JSON."""

    key: str | Off = setting("The key of the score, where the answer is an object.", default=OFF)


class JudgeReward(Service):
    """[reward.judge]: a language model as judge, behind an OpenAI-compatible chat endpoint.

    The url of a judge that the plan places, by [placement.judge], is `http://{judge}/v1/chat/completions`.
    """

    model: str = setting("The model that is asked.")
    template: str = setting(
        "What the judge is asked, as a Jinja template of prompt, response, label and metadata.",
        default="Rate the response to the prompt below by its correctness and helpfulness on a scale from 1 to 10. "
        'Close your reply with the rating in this form: "[[rating]]", for example "[[5]]".\n\n'
        "[Prompt]\n{{ prompt }}\n\n"
        "{% if label is not none %}[Reference answer]\n{{ label }}\n\n{% endif %}"
        "[Response]\n{{ response }}\n[End of response]",
    )
    pattern: str = setting(
        "A regular expression whose first group is the score; its last match in the reply counts.",
        default=r"\[\[\s*(-?\d+(?:\.\d+)?)\s*\]\]",
    )
    min_score: float = setting("The lowest rating; it becomes a reward of 0.", default=1.0)
    max_score: float = setting("The highest rating; it becomes a reward of 1.", default=10.0)
    temperature: float = setting("At which the judge answers.", default=0.0, ge=0)
    max_tokens: Tokens = setting("Longest reply of the judge.", default=1024, unit="tokens", ge=1)


class Scale(Record):
    """[reward.shaping.scale]: one range of rewards mapped onto another, after clamping to the first."""

    source_min: float = setting("Rewards below this count as this.")
    source_max: float = setting("Rewards above this count as this.")
    target_min: float = setting("What source_min becomes.", default=0.0)
    target_max: float = setting("What source_max becomes.", default=1.0)


class Overlong(Record, Generic[A]):
    """[reward.shaping.overlong]: the soft penalty of DAPO for responses that come close to the limit."""

    buffer_tokens: Tokens | A = setting(
        "The penalty sets in this far before the limit; a fifth of the limit unless set.", unit="tokens", ge=1
    )
    penalty: float = setting("What a response at the limit loses.", default=1.0, gt=0)
    floor: bool = setting("Whether the loss ends there, or goes on growing behind the limit.", default=True)
    max_tokens: Tokens | A = setting("The limit; rollout.max_response_tokens unless set.", unit="tokens", ge=1)


class Shaping(Record, Generic[A]):
    """[reward.shaping]: what becomes of a reward before advantages are made of it; metrics keep both."""

    scale: Scale | Off = setting("One range mapped onto another.", default=OFF)
    truncated_coef: float = setting(
        "The reward of a response that was cut at its limit is multiplied by this.", default=1.0, ge=0, le=1
    )
    overlong: Overlong[A] | Off = setting("The penalty for responses that come close to the limit.", default=OFF)
