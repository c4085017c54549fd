r"""A language model as judge, asked through an OpenAI-compatible chat endpoint.

The template `reward.judge.template` is filled with `prompt`, `response`, `label` and `metadata`, in Jinja's sandbox,
and sent to `url` (`.../v1/chat/completions`) as one user message; the last match of `reward.judge.pattern` in the reply
is the rating, mapped from `min_score`..`max_score` to 0..1.  A reply without a match, or with a rating outside of that
range, is a failed judgement, of which `reward.on_failure` decides: nonsense is never taken for a score.  A response can
hold what looks like a rating, but only the judge's own words are searched.

Source: Zheng et al., Judging LLM-as-a-Judge, arXiv:2306.05685, figure 6: single-answer grading with "[[rating]]".
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compiler.ir.reward_settings import JudgeReward
    from stdlib.samples import JsonValue, Sample


def question(sample: Sample, settings: JudgeReward) -> dict[str, JsonValue]:
    """Return the body of the request.  Raises: ValueError if the template cannot be filled."""
    from jinja2 import TemplateError

    facts = sample.prompt
    try:
        text = _template(settings.template).render(
            prompt=facts.text, response=sample.text, label=facts.label, metadata=facts.metadata
        )
    except TemplateError as error:
        raise ValueError(f"the template cannot be filled: {error}") from error
    return {
        "model": settings.model,
        "messages": [{"role": "user", "content": text}],
        "temperature": settings.temperature,
        "max_tokens": settings.max_tokens,
    }


def score(reply: JsonValue, settings: JudgeReward) -> float:
    """Return the rating in a reply, mapped to 0..1.  Raises: ValueError if there is none."""
    said = _content(reply)
    found = list(re.finditer(settings.pattern, said))
    if not found:
        raise ValueError(f"the judge's reply holds no rating: {_cut(said)}")
    try:
        rating = float(found[-1][1])
    except (TypeError, ValueError) as error:
        raise ValueError(f"the judge's rating is no number: {_cut(str(found[-1][1]))}") from error
    if not settings.min_score <= rating <= settings.max_score:
        bounds = f"{settings.min_score:g} to {settings.max_score:g}"
        raise ValueError(f"the judge's rating is {rating:g}, outside of {bounds}")
    return (rating - settings.min_score) / (settings.max_score - settings.min_score)


@cache
def _template(text: str) -> Any:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    return ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=False).from_string(text)


def _content(reply: Any) -> str:
    """The text of the first choice."""
    try:
        found = reply["choices"][0]["message"]["content"]
    except (KeyError, IndexError, TypeError):
        found = None
    if not isinstance(found, str):
        raise ValueError("the reply is not one of a chat endpoint: it has no choices[0].message.content")
    return found


def _cut(text: str) -> str:
    shown = " ".join(text.split())
    return repr(shown[:60] + ("..." if len(shown) > 60 else ""))
