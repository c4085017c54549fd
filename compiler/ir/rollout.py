"""[rollout] and [reward]: how text is sampled from the policy and how it is judged."""

from __future__ import annotations

from math import ceil

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import Seconds, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.options import Options
from compiler.ir.record import Record, setting
from compiler.ir.reward_settings import (
    BOXABLE,
    BOXED,
    BY_ROW,
    COMBINED,
    CodeTestsReward,
    DapoReward,
    FormatReward,
    IfBenchReward,
    JudgeReward,
    MathReward,
    RegexReward,
    RemoteReward,
    RewardModel,
    Shaping,
)

_WITHIN = ("name", ("mean_within",))
_PARTIAL = ("partial", (True,))


class CustomCode(Record):
    """A function of the experiment's own.  Compiling never imports it; running refuses changed code."""

    path: str = setting("The file, relative to the experiment's root.")
    function: str = setting("The function in it.")
    sha256: str = setting("Digest of the file when the plan was made.")


class Sampling(Record):
    """[rollout.sampling]: the distribution that tokens are drawn from."""

    temperature: float = setting("Divides the logits; 0 takes the most likely token.", default=1.0, ge=0, le=100)
    top_p: float = setting(
        "Keeps the most likely tokens that together hold this much probability.", default=1.0, gt=0, le=1
    )
    top_k: int | Off = setting("Keeps this many of the most likely tokens.", default=OFF, unit="tokens", ge=1)


class RolloutEngine(Record, Generic[A]):
    """[rollout.engine]: what generates."""

    name: str | A = setting("The engine; the target says which it has.")
    version: str | Off | A = setting(
        "The version; unless it is set, the one that the target pins.  Off for an engine of rlc's own."
    )
    sglang: Options | Off = setting("Settings that SGLang takes by its own names.", default=OFF)
    vllm: Options | Off = setting("Settings that vLLM takes by its own names.", default=OFF)
    cache_tokens: Tokens | Off | A = setting(
        "Tokens whose keys and values engine `native` holds at once, of sequences under way and of prefixes that may "
        "be used again; unless it is set, enough for every sequence at its longest. Where it is less, a sequence "
        "enters when its memory is there, and the youngest waits where it runs out.",
        unit="tokens",
        ge=2,
    )
    prefill_tokens: Tokens | Off | A = setting(
        "Prompt tokens that engine `native` runs between two tokens of the sequences under way, at most.",
        unit="tokens",
        ge=1,
    )
    deterministic: bool = setting(
        "Whether engine `native` gives a response the same bits whatever else is in the batch, at several times the "
        "time of a token.",
        default=False,
    )


class Speculation(Record):
    """[rollout.speculation]: tokens that are drafted, and verified by the model several at a time."""

    method: Literal["mtp"] = setting(
        "What drafts: the layer that predicts a further token, again and again on its own hidden states."
    )
    num_draft_tokens: int = setting(
        "Tokens drafted for each sequence and pass; the pass draws between one token and one more than these.",
        default=1,
        unit="tokens",
        ge=1,
        le=16,
    )


class Generation(Record, Generic[A]):
    """[rollout]: how text is sampled, for training and for evaluation."""

    max_prompt_tokens: Tokens | A = setting("Longest prompt.", unit="tokens", ge=1)
    max_response_tokens: Tokens = setting("Longest response.", unit="tokens", ge=1)
    max_context_tokens: Tokens | A = setting("Longest prompt and response together.", unit="tokens", ge=2)
    overlong_prompts: Literal["error", "drop", "truncate"] = setting(
        "What happens to a prompt above max_prompt_tokens: it is refused, left out, or keeps its last tokens; rows "
        "that were left out or cut are counted.",
        default="error",
    )
    stop_token_ids: tuple[int, ...] = setting(
        "Tokens that end a response, beside the tokenizer's own end of sequence.", default=()
    )
    stop_strings: tuple[str, ...] = setting(
        "Texts that end a response; the token that completes one is its last, also where a part of the token lies "
        "behind the text.",
        default=(),
    )
    concurrency: int | A = setting("Sequences decoded at once by one engine.", unit="sequences", ge=1)
    sampling: Sampling = setting("The distribution that tokens are drawn from.")
    engine: RolloutEngine[A] = setting("What generates.")
    speculation: Speculation | Off = setting(
        "Drafts of several tokens for a pass; tokens are the same as without.", default=OFF
    )


class GroupFilter(Record, Generic[A]):
    """[rollout.filter]: groups that are left out of a rollout, and others sampled in their place."""

    name: str = setting(
        "Which groups are kept: a file of stdlib/filters/, or a function of your own as `file.py:function`; "
        "`nonzero_std` keeps those whose rewards differ, `mean_within` those whose mean reward lies between `low` and "
        "`high`."
    )
    low: float = setting("Lowest mean reward of a group that is kept.", default=0.2, read_if=_WITHIN)
    high: float = setting("Highest mean reward of a group that is kept.", default=0.8, read_if=_WITHIN)
    oversample: float = setting(
        "Prompts sampled at once, as a multiple of those that are still wanted.", default=1.0, ge=1, le=16
    )
    max_refills: int = setting("Times that further prompts are sampled for one step.", default=10, unit="times", ge=0)
    on_shortage: Literal["train_fewer", "keep_filtered", "stop"] = setting(
        "What happens if groups are still missing then: the step trains on those that there are, filtered ones fill it "
        "up, or the run ends.",
        default="keep_filtered",
    )
    timeout_s: Seconds = setting(
        "Longest time that one call of a filter of your own may take; the run ends where it takes longer.",
        default=60.0,
        unit="seconds",
        gt=0,
        on_resume="may_change",
    )
    code: CustomCode | Off | A = setting("The function that is not of the standard library.", derived=True)


class Replay(Record):
    """[rollout.buffer.replay]: groups that were trained on, and are again."""

    frac: float = setting(
        "Share of a step's groups that were trained on before, rounded down to whole groups; fewer where there are not "
        "so many yet.",
        gt=0,
        lt=1,
    )
    max_uses: int = setting("Steps that a group is trained on again.", default=1, unit="steps", ge=1)

    def num_groups(self, prompts_per_step: int) -> int:
        """Return the groups of a step that are replayed at most; a millionth of a group less is a whole one."""
        return int(self.frac * prompts_per_step + 1e-6)


class Buffer(Record, Generic[A]):
    """[rollout.buffer]: groups that are kept from one step to the next."""

    partial: bool = setting(
        "Partial rollout: sampling ends as soon as a step has its groups, and responses that are unfinished then are "
        "kept with their tokens and go on in the next step, under newer weights.",
        default=False,
    )
    oversample: float = setting(
        "Prompts under way at once, as a multiple of those that are still wanted.",
        default=1.0,
        ge=1,
        le=16,
        read_if=_PARTIAL,
    )
    stale_tokens: Literal["train", "mask"] = setting(
        "Whether tokens that older weights sampled count in the loss; their reward counts in any case.",
        default="train",
        read_if=_PARTIAL,
    )
    max_staleness_steps: int | Off = setting(
        "Steps by which the weights that sampled a group's oldest token may be behind those that are trained; groups "
        "that are older are dropped.  Off keeps all.",
        unit="steps",
        ge=0,
    )
    selector: str = setting(
        "Which of the groups that wait are taken first: a file of stdlib/selectors/, or a function of your own as "
        "`file.py:function`; `fifo` takes the oldest, `prioritised` those whose rewards vary most, `stratified` "
        "as many of each stratum.",
        default="fifo",
    )
    stratum_key: str | Off = setting(
        "The key of a row's metadata that names its stratum; off: the file that it comes from.",
        default=OFF,
        read_if=("selector", ("stratified",)),
    )
    replay: Replay | Off = setting("Groups that were trained on, and are again.", default=OFF)
    timeout_s: Seconds = setting(
        "Longest time that one call of a selector of your own may take; the run ends where it takes longer.",
        default=60.0,
        unit="seconds",
        gt=0,
        on_resume="may_change",
    )
    code: CustomCode | Off | A = setting("The function that is not of the standard library.", derived=True)

    def prompts_under_way(self, prompts_per_step: int) -> int:
        """Return the prompts that a step has under way at once."""
        return ceil(prompts_per_step * self.oversample) if self.partial else prompts_per_step


class Rollout(Generation[A]):
    """[rollout] of a stage that trains on what it samples."""

    prompts_per_step: int | A = setting("Prompts drawn for one rollout.", unit="prompts", ge=1)
    samples_per_prompt: int | A = setting("Responses sampled for each prompt: the group.", unit="samples", ge=1)
    expected_response_tokens: Tokens | Off = setting(
        "Length of a response on average, as far as it is known; what is forecast of the time of a step rests on it. "
        "Off takes half of max_response_tokens.",
        default=OFF,
        unit="tokens",
        ge=1,
        in_hash=False,
    )
    expected_p90_response_tokens: Tokens | Off = setting(
        "Length that nine responses in ten do not exceed, as far as it is known: how long the tail is that a step "
        "waits for.",
        default=OFF,
        unit="tokens",
        ge=1,
        in_hash=False,
    )
    truncated_responses: Literal["train", "mask"] = setting(
        "Whether a response that was cut at max_response_tokens counts in the loss; its reward counts in any case.",
        default="train",
    )
    filter: GroupFilter[A] | Off = setting("Groups that are left out, and others sampled in their place.", default=OFF)
    buffer: Buffer[A] | Off = setting("Groups that are kept from one step to the next.", default=OFF)


def _of(*names: str) -> tuple[str, tuple[object, ...]]:
    """With which values of `name` a table is read."""
    return "name", (*names, *(f"{BOXED}{name}" for name in names if name in BOXABLE))


class Judgement(Record, Generic[A]):
    """One reward by its name, with the settings of those that have some."""

    name: str = setting(
        "A reward of the standard library, such as `exact` or `math`, or a function of your own as `file.py:function` "
        "or `module:function`."
    )
    math: MathReward | Off = setting("Settings of `math`.", default=OFF, read_if=_of("math"))
    dapo: DapoReward | Off = setting("Settings of `dapo`.", default=OFF, read_if=_of("dapo"))
    regex: RegexReward | Off = setting("Settings of `regex`.", default=OFF, read_if=_of("regex"))
    format: FormatReward | Off = setting("Settings of `format`.", default=OFF, read_if=_of("format"))
    ifbench: IfBenchReward | Off = setting("Settings of `ifbench`.", default=OFF, read_if=_of("ifbench"))
    code_tests: CodeTestsReward | Off = setting("Settings of `code_tests`.", default=OFF, read_if=_of("code_tests"))
    reward_model: RewardModel | Off = setting("Settings of `reward_model`.", default=OFF, read_if=_of("reward_model"))
    remote: RemoteReward | Off = setting("Settings of `remote`.", default=OFF, read_if=_of("remote"))
    judge: JudgeReward | Off = setting("Settings of `judge`.", default=OFF, read_if=_of("judge"))
    level: Literal["sample", "group", "batch"] | A = setting(
        "What one call is given; the first parameter's name says it.", derived=True
    )
    code: CustomCode | Off | A = setting("The function that is not of the standard library.", derived=True)


class RewardTerm(Judgement[A]):
    """[[reward.terms]]: one of several rewards."""

    label: str | Off = setting("What metrics and rows call it; its name unless set.", default=OFF)
    weight: float = setting("What its score is multiplied by in a weighted sum.", default=1.0)


class Reward(Judgement[A]):
    """[reward]: how a response is judged."""

    timeout_s: Seconds = setting(
        "Longest time that one call of a function may take.", default=30.0, unit="seconds", gt=0, on_resume="may_change"
    )
    concurrency: int = setting(
        "Calls of functions under way at once.", default=64, unit="calls", ge=1, on_resume="may_change"
    )
    expected_call_s: Seconds | Off = setting(
        "How long one call takes on average, as far as it is known; the forecast of a step counts it. Off counts "
        "nothing.",
        default=OFF,
        unit="seconds",
        gt=0,
        in_hash=False,
    )
    terms: tuple[RewardTerm[A], ...] = setting(
        "The rewards that are added up, or among which each row chooses.", default=(), read_if=("name", COMBINED)
    )
    row_key: str = setting(
        "The key of a row's metadata that says which of the terms judges it.",
        default="reward",
        read_if=("name", (BY_ROW,)),
    )
    on_failure: Literal["stop", "score", "drop_group"] = setting(
        "What a judgement does that fails: it ends the run, the response scores failure_score, or its whole group is "
        "left out of the step. A reward fails that raises, takes too long, or returns what is no finite number.",
        default="stop",
        on_resume="may_change",
    )
    failure_score: float = setting(
        "What a response scores whose judgement failed.",
        default=0.0,
        on_resume="may_change",
        read_if=("on_failure", ("score",)),
    )
    empty_responses: Literal["judge", "fail"] = setting(
        "What happens to a response without any text: it is judged as any other, or counts as a failed judgement, of "
        "which on_failure decides; empty responses are counted.",
        default="judge",
        on_resume="may_change",
    )
    shaping: Shaping[A] | Off = setting("What becomes of a reward before advantages are made of it.", default=OFF)
