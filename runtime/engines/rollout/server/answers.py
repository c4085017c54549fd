"""A response as SGLang writes it: text, output_ids and meta_info.

Log-probs are float32 numbers written as JSON writes doubles, so that whoever reads them gets the same bits.  They are
those of the distribution that was drawn from, after temperature, top-k and top-p; SGLang's `output_token_logprobs` are
those before top-k and top-p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from runtime.data.tokenizers import TextTokenizer
from runtime.engines.rollout.server.generate_body import Asked
from runtime.engines.rollout.server.jobs import Finished


def answer(
    finished: Finished, asked: Asked, tokenizer: TextTokenizer | None, label: Callable[[int | None], str]
) -> dict[str, object]:
    """Return the JSON of a response.

    Args:
        asked: what it answers.
        label: what clients call a version of weights.
    """
    part = finished.part
    spans = version_spans(part.versions, label)
    meta: dict[str, object] = {
        "id": finished.id,
        "finish_reason": _finish_reason(finished),
        "prompt_tokens": len(asked.tokens),
        "completion_tokens": len(part.tokens),
        "cached_tokens": 0,
        "weight_version": spans[-1]["version"] if spans else label(None),
        "weight_versions": spans,
    }
    if asked.returns_logprobs:
        of_prompt: list[object] = []
        meta["input_token_logprobs"] = of_prompt
        meta["output_token_logprobs"] = [
            [logprob, token, _text_of([token], asked.returns_token_texts, tokenizer)]
            for token, logprob in zip(part.tokens, part.logprobs, strict=True)
        ]
        meta["output_token_logprobs_length"] = len(part.tokens)
    shown = part.tokens
    if finished.finish == "stop" and asked.params.trims_stop:
        shown = shown[:-1]
    text = "" if tokenizer is None else tokenizer.decode(shown)
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


def _finish_reason(finished: Finished) -> dict[str, object]:
    if finished.finish == "stop":
        return {"type": "stop", "matched": finished.part.tokens[-1]}
    if finished.finish == "length":
        return {"type": "length", "length": len(finished.part.tokens)}
    return {"type": "abort", "message": "Aborted", "status_code": None, "err_type": None}


def _text_of(tokens: Sequence[int], is_wanted: bool, tokenizer: TextTokenizer | None) -> str | None:
    return tokenizer.decode(tokens) if is_wanted and tokenizer is not None else None
