"""The body of /generate: one prompt or several, as text or tokens, and what is to be said about the responses.

Names are those of SGLang 0.5.23 (`GenerateReqInput`).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime.engines.rollout.server.fields import Fields, is_integers
from runtime.engines.rollout.server.refusals import RefusalError, malformed
from runtime.engines.rollout.server.sampling_params import LOCKSTEP, SAMPLES_MAX, SamplingParams, read_sampling_params

_SERVED: Final = ("rid", "text", "input_ids", "sampling_params", "stream")
_LOGPROBS: Final = (
    "return_logprob",
    "logprob_start_len",
    "return_text_in_logprobs",
    "top_logprobs_num",
    "token_ids_logprob",
)
_EXPERTS: Final = ("return_routed_experts", "routed_experts_start_len")
# They change nothing about the responses.
_OF_NO_EFFECT: Final = (
    *("log_metrics", "no_logs", "priority", "routing_key", "session_id", "conversation_id", "extra_key"),
    *("custom_labels", "external_trace_header", "received_time"),
)
_REFUSED: Final[tuple[tuple[tuple[str, ...], tuple[object, ...], str], ...]] = (
    (("return_hidden_states", "return_indexer_topk"), (False,), "leave it out"),
    (("return_sampling_mask", "return_entropy", "return_prompt_token_ids"), (False,), "leave it out"),
    (("input_embeds", "image_data", "video_data", "audio_data", "modalities"), ([],), "send input_ids or text"),
    (("lora_path", "lora_id", "custom_logit_processor", "watermark"), ("",), "leave it out"),
    (("session_params", "bootstrap_host", "bootstrap_port", "bootstrap_room"), (), "leave it out"),
    (("background", "require_reasoning", "return_bytes", "use_audio_in_video"), (False,), "leave it out"),
    (
        ("return_flat_raw_top_logprobs", "return_flat_raw_output_top_logprobs", "return_flat_raw_top_logprobs_b64"),
        (False,),
        "leave it out: log-probs are listed one by one",
    ),
    # A router sends it to servers of several ranks; this one is its own first.
    (("routed_dp_rank", "data_parallel_rank"), (0,), "leave it out: this server has one rank"),
    (("sampling_logprobs_mode", "max_thinking_tokens", "cache_salt", "kv_hints"), (), "leave it out"),
    (("bootstrap_pair_key", "decode_tp_size", "disagg_prefill_dp_rank"), (), "leave it out"),
    (("mm_hashes", "mm_content_hashes", "video_config", "images_config", "mm_processor_kwargs"), (), "send text only"),
    (("max_dynamic_patch", "min_dynamic_patch", "image_max_dynamic_patch", "video_max_dynamic_patch"), (), "send text"),
    (("positional_embed_overrides", "multi_item_delimiter_indices", "token_indices_to_pool"), (), "leave it out"),
)
NAMES: Final = frozenset(
    (*_SERVED, *_LOGPROBS, *_EXPERTS, *_OF_NO_EFFECT, *(name for names, _, _ in _REFUSED for name in names)),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """One prompt of a body.

    Args:
        rid: what it is called, by the client or here.
        experts_from: from which token on the experts that tokens visited are wanted; None where they are not.
        logprobs_from: the first token of the prompt that is listed with its log-prob; None where none is.
    """

    rid: str
    tokens: tuple[int, ...]
    params: SamplingParams
    returns_logprobs: bool
    returns_token_texts: bool
    logprobs_from: int | None
    experts_from: int | None
    top_logprobs: int
    logprob_token_ids: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerateBody:
    """All that one request to /generate asks for.

    Args:
        is_single: whether the answer is one response, rather than a list of them.
        lockstep: the generation that all of it belongs to, or nothing.
    """

    asked: tuple[Asked, ...]
    is_single: bool
    streams: bool
    lockstep: str


def read_generate_body(given: object, encode: Callable[[str], tuple[int, ...]] | None) -> GenerateBody:
    """Return what a body asks for.

    Args:
        encode: turns text into tokens, where the server has a tokenizer.

    Raises: RefusalError RLC0720, RLC0721, RLC0722, and SpecError RLC0606 for text that has no tokens.
    """
    fields = Fields(given, "the body of /generate", NAMES)
    for names, neutral, way in _REFUSED:
        fields.only(names, neutral, way)
    streams = fields.flag("stream", default=False)
    token_texts = fields.flag("return_text_in_logprobs", default=False)
    is_batch, prompts = _prompts(fields, encode)
    fields.close()
    count = len(prompts)
    top_logprobs = _counts(fields, count)
    token_ids = _named_tokens(fields, count)
    params = [read_sampling_params(p, "sampling_params") for p in _each(fields, "sampling_params", dict, count)]
    logprobs = _each(fields, "return_logprob", bool, count)
    starts = _starts(fields, prompts)
    experts_from = _experts_from(fields, prompts)
    rids = _rids(fields, count, is_batch=is_batch)
    if (num_samples := sum(p.num_samples for p in params)) > SAMPLES_MAX:
        fields.faults.append(malformed(f"n of all prompts of one body is {num_samples:,}, not at most {SAMPLES_MAX:,}"))
    if len({p.lockstep for p in params}) > 1:
        fields.faults.append(malformed(f"the prompts of one body name several generations by {LOCKSTEP}"))
    fields.close()
    asked = tuple(
        Asked(
            rid=rid,
            tokens=tokens,
            params=p,
            returns_logprobs=bool(returns),
            returns_token_texts=token_texts,
            logprobs_from=start if returns else None,
            experts_from=experts_from,
            top_logprobs=top if returns else 0,
            logprob_token_ids=ids if returns else (),
        )
        for rid, tokens, p, returns, start, top, ids in zip(
            rids, prompts, params, logprobs, starts, top_logprobs, token_ids, strict=True
        )
    )
    is_single = not is_batch and asked[0].params.num_samples == 1
    return GenerateBody(asked=asked, is_single=is_single, streams=streams, lockstep=params[0].lockstep)


def _prompts(fields: Fields, encode: Callable[[str], tuple[int, ...]] | None) -> tuple[bool, list[tuple[int, ...]]]:
    """Return whether a list was given, and the tokens of each prompt."""
    text, tokens = fields.raw("text"), fields.raw("input_ids")
    if (text is None) == (tokens is None):
        raise RefusalError(400, malformed("the body of /generate has to have either text or input_ids"))
    given: Any = tokens if text is None else text
    is_batch = isinstance(given, list) and (text is not None or (len(given) > 0 and isinstance(given[0], list)))
    prompts = given if is_batch else [given]
    if not 0 < len(prompts) <= SAMPLES_MAX:
        raise RefusalError(400, malformed(f"{len(prompts):,} prompts came at once, not 1 to {SAMPLES_MAX:,}"))
    if text is None:
        if not all(is_integers(p) for p in prompts):
            fields.wrong("input_ids", "a list of token ids, or a list of such lists")
            return is_batch, []
        return is_batch, [tuple(p) for p in prompts]
    if not all(isinstance(p, str) for p in prompts):
        fields.wrong("text", "a text, or a list of texts")
        return is_batch, []
    if any("\ud800" <= character <= "\udfff" for p in prompts for character in p):
        fields.wrong("text", "of whole characters: it has half a surrogate pair")
        return is_batch, []
    if encode is None:
        raise RefusalError(400, malformed("this server has no tokenizer: send input_ids"))
    return is_batch, [encode(p) for p in prompts]


def _each(fields: Fields, name: str, kind: type, count: int) -> list[Any]:
    """Return a field that is given once for all prompts or once for each."""
    value = fields.raw(name)
    values = value if isinstance(value, list) else [value] * count
    if len(values) != count or not all(v is None or isinstance(v, kind) for v in values):
        fields.wrong(name, f"one for all {count} prompts, or a list of {count}")
        return [None] * count
    return values


def _counts(fields: Fields, count: int) -> list[int]:
    """Return how many of the likeliest tokens are wanted beside those of each prompt's response."""
    given = _each(fields, "top_logprobs_num", int, count)
    if any(isinstance(most, bool) or (most or 0) < 0 for most in given):
        fields.wrong("top_logprobs_num", "an integer of at least 0")
    return [most or 0 for most in given]


def _named_tokens(fields: Fields, count: int) -> list[tuple[int, ...]]:
    """Return the tokens whose log-probs are wanted: one list for all prompts, or one for each."""
    given = fields.raw("token_ids_logprob")
    if given is None or is_integers(given):
        return [tuple(given or ())] * count
    if not isinstance(given, list) or len(given) != count or not all(ids is None or is_integers(ids) for ids in given):
        fields.wrong("token_ids_logprob", f"a list of integers for all {count} prompts, or {count} such lists")
        return [()] * count
    return [tuple(ids or ()) for ids in given]


def _starts(fields: Fields, prompts: Sequence[Sequence[int]]) -> list[int | None]:
    """Return from which token on the log-probs of each prompt are wanted; -1 stands for none of them, as in SGLang."""
    given = _each(fields, "logprob_start_len", int, len(prompts))
    for start, tokens in zip(given, prompts, strict=True):
        if isinstance(start, bool) or not -1 <= (start or 0) <= len(tokens):
            fields.wrong("logprob_start_len", f"from -1 to the {len(tokens)} tokens of its prompt")
            break
    return [None if start == -1 else start for start in given]


def _experts_from(fields: Fields, prompts: Sequence[Sequence[int]]) -> int | None:
    is_wanted, start = (
        fields.flag("return_routed_experts", default=False),
        fields.integer("routed_experts_start_len", 0),
    )
    shortest = min(len(tokens) for tokens in prompts)
    if start > shortest:
        fields.wrong("routed_experts_start_len", f"from 0 to the {shortest} tokens of the shortest prompt")
    return start if is_wanted else None


def _rids(fields: Fields, count: int, *, is_batch: bool) -> list[str]:
    given = fields.raw("rid")
    if given is None:
        return [uuid.uuid4().hex for _ in range(count)]
    if isinstance(given, str) and given:
        return [f"{given}_{i}" for i in range(count)] if is_batch else [given]
    is_list = isinstance(given, list) and is_batch and all(isinstance(r, str) and r for r in given)
    if not is_list or len(set(given)) != count:
        fields.wrong("rid", f"a text, or a list of {count} that differ")
        return [""] * count
    return given
