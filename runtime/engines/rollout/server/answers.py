"""A response as SGLang writes it: text, output_ids and meta_info.

Log-probs are float32 numbers written as JSON writes doubles, so that whoever reads them gets the same bits.  They are
those of the distribution that was drawn from, after temperature, top-k and top-p; SGLang's `output_token_logprobs` are
those before top-k and top-p.  `input_token_logprobs` are of the softmax at the temperature of the request; SGLang's are
of that at 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from runtime.data.tokenizers import TextTokenizer
from runtime.engines.rollout.routed_experts import RoutedLayers, written
from runtime.engines.rollout.server.generate_body import Asked
from runtime.engines.rollout.server.jobs import Finished


def answer(
    finished: Finished,
    asked: Asked,
    label: Callable[[int | None], str],
    *,
    tokenizer: TextTokenizer | None,
    routed: RoutedLayers | None,
) -> dict[str, object]:
    """Return the JSON of a response, or of what there is of it.

    Args:
        asked: what it answers.
        label: what clients call a version of weights.
        routed: where the network has experts.
    """
    part = finished.part
    spans = version_spans(part.versions, label)
    meta: dict[str, object] = {
        "id": finished.id,
        "finish_reason": _finish_reason(finished),
        "prompt_tokens": len(asked.tokens),
        "completion_tokens": len(part.tokens),
        "cached_tokens": part.num_cached_tokens,
        "weight_version": spans[-1]["version"] if spans else label(None),
        "weight_versions": spans,
    }
    if asked.returns_logprobs:
        meta["input_token_logprobs"] = _of_prompt(finished, asked, tokenizer)
        meta["output_token_logprobs"] = [
            [logprob, token, _text_of([token], asked.returns_token_texts, tokenizer)]
            for token, logprob in zip(part.tokens, part.logprobs, strict=True)
        ]
        meta["output_token_logprobs_length"] = len(part.tokens)
        if asked.top_logprobs:
            meta["input_top_logprobs"] = _behind_first(asked, _likeliest(part.prompt_top_logprobs, asked, tokenizer))
            meta["output_top_logprobs"] = _likeliest(part.top_logprobs, asked, tokenizer)
        if asked.logprob_token_ids:
            of_prompt = _named(part.prompt_token_logprobs, asked, tokenizer)
            meta["input_token_ids_logprobs"] = _behind_first(asked, of_prompt)
            meta["output_token_ids_logprobs"] = _named(part.token_logprobs, asked, tokenizer)
    if asked.experts_from is not None and routed is not None and part.expert_ids is not None:
        meta["routed_experts"] = written(part.expert_ids, routed, start=asked.experts_from)
    text = "" if tokenizer is None else _shown(finished, tokenizer, trims_stop=asked.params.trims_stop)
    return {"text": text, "output_ids": list(part.tokens), "meta_info": meta}


def version_spans(versions: Sequence[int], label: Callable[[int | None], str]) -> list[dict[str, object]]:
    """Return which tokens were drawn by which version of the weights, as SGLang's `weight_versions` says it."""
    spans: list[dict[str, object]] = []
    start = 0
    for version, tokens in groupby(versions):
        end = start + len(list(tokens))
        spans.append({"version": label(version), "start": start, "end": end})
        start = end
    return spans


def _of_prompt(finished: Finished, asked: Asked, tokenizer: TextTokenizer | None) -> list[object]:
    """Return the tokens of the prompt that were asked about; the first of them has no log-prob, as in SGLang."""
    start, logprobs = asked.logprobs_from, finished.part.prompt_logprobs
    # One that was broken off before its first token has none.
    if start is None or len(logprobs) != max(0, len(asked.tokens) - start - 1):
        return []
    return [
        [logprob, token, _text_of([token], asked.returns_token_texts, tokenizer)]
        for token, logprob in zip(asked.tokens[start:], (None, *logprobs), strict=False)
    ]


def _behind_first(asked: Asked, rows: list[object]) -> list[object]:
    """Return what stands beside the listed tokens of a prompt: nothing beside the first of them, as in SGLang."""
    start = asked.logprobs_from
    if start is None or start >= len(asked.tokens) or len(rows) != len(asked.tokens) - start - 1:
        return []
    return [None, *rows]


def _likeliest(
    rows: Sequence[Sequence[tuple[int, float]]], asked: Asked, tokenizer: TextTokenizer | None
) -> list[object]:
    return [[[p, t, _text_of([t], asked.returns_token_texts, tokenizer)] for t, p in row] for row in rows]


def _named(rows: Sequence[Sequence[float]], asked: Asked, tokenizer: TextTokenizer | None) -> list[object]:
    texts = [_text_of([t], asked.returns_token_texts, tokenizer) for t in asked.logprob_token_ids]
    return [[list(one) for one in zip(row, asked.logprob_token_ids, texts, strict=True)] for row in rows]


def _finish_reason(finished: Finished) -> dict[str, object] | None:
    if finished.finish is None:
        return None
    if finished.finish == "stop":
        return {"type": "stop", "matched": finished.part.stop_reason}
    if finished.finish == "length":
        return {"type": "length", "length": len(finished.part.tokens)}
    return {"type": "abort", "message": "Aborted", "status_code": None, "err_type": None}


def _shown(finished: Finished, tokenizer: TextTokenizer, *, trims_stop: bool) -> str:
    tokens, reason = finished.part.tokens, finished.part.stop_reason
    if finished.finish is None:
        text = tokenizer.decode(tokens)
        return text[: _num_sure(text, finished.job.request.stop_strings)]
    if not trims_stop or finished.finish != "stop":
        return tokenizer.decode(tokens)
    if isinstance(reason, str):
        return tokenizer.decode(tokens).partition(reason)[0]
    return tokenizer.decode(tokens[:-1])


def may_be_ending(finished: Finished, tokenizer: TextTokenizer | None) -> bool:
    """Whether the text of a response that goes on ends in what may become a stop string: SGLang says nothing then."""
    stops = finished.job.request.stop_strings
    if finished.finish is not None or tokenizer is None or not stops:
        return False
    text = tokenizer.decode(finished.part.tokens)
    return any(text.endswith(stop[:size]) for stop in stops for size in range(1, len(stop) + 1))


def _num_sure(text: str, stops: Sequence[str]) -> int:
    """Return how many characters of a text are those of the whole one, up to a stop string that a least length let be.

    The first bytes of a character are decoded as the replacement character until the others have come.
    """
    found = (at for stop in stops if (at := text.find(stop)) >= 0)
    return min((len(text.rstrip("\ufffd")), *found))


def _text_of(tokens: Sequence[int], is_wanted: bool, tokenizer: TextTokenizer | None) -> str | None:
    return tokenizer.decode(tokens) if is_wanted and tokenizer is not None else None
