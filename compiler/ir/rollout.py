"""[rollout] and [reward]: how text is sampled from the policy and how it is judged."""

from __future__ import annotations

from compiler.diagnostics.annotations import Generic, Literal
from compiler.ir.kinds import Seconds, Tokens
from compiler.ir.openness import OFF, A, Off
from compiler.ir.options import Options
from compiler.ir.record import Record, setting


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
    concurrency: int | A = setting("Sequences decoded at once by one engine.", unit="sequences", ge=1)
    sampling: Sampling = setting("The distribution that tokens are drawn from.")
    engine: RolloutEngine[A] = setting("What generates.")


class Rollout(Generation[A]):
    """[rollout] of a stage that trains on what it samples."""

    prompts_per_step: int | A = setting("Prompts drawn for one rollout.", unit="prompts", ge=1)
    samples_per_prompt: int | A = setting("Responses sampled for each prompt: the group.", unit="samples", ge=1)


class CustomCode(Record):
    """A function of the experiment's own.  Compiling never imports it; running refuses changed code."""

    path: str = setting("The file, relative to the experiment's root.")
    function: str = setting("The function in it.")
    sha256: str = setting("Digest of the file when the plan was made.")


class Reward(Record, Generic[A]):
    """[reward]: how a response is judged."""

    name: str = setting(
        "A reward of the standard library (`exact`, `math`), or a function of your own as `file.py:function` or "
        "`module:function`."
    )
    timeout_s: Seconds = setting(
        "Longest time that one call may take.", default=30.0, unit="seconds", gt=0, on_resume="may_change"
    )
    concurrency: int = setting("Calls under way at once.", default=64, unit="calls", ge=1, on_resume="may_change")
    level: Literal["sample", "group", "batch"] | A = setting(
        "What one call is given; the first parameter's name says it.", derived=True
    )
    code: CustomCode | Off | A = setting("The function that is not of the standard library.", derived=True)
