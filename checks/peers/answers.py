"""Final answers of mathematics, random and handmade, and responses that hold them."""

from __future__ import annotations

import random
from collections.abc import Iterator

from stdlib.samples import Prompt, Sample, SampleId, Segment

_NUMBER_TEXT = "1 2 42 42.0 1,234 1234 .5 0.5 -3 x y + - = / 3/4 x=5 a= ( ) , {. \\pi"
_LATEX_TEXT = (
    "\\frac12 \\frac{1}{2} \\dfrac{1}{2} \\tfrac12 \\frac1{72} \\frac \\sqrt3 \\sqrt{3} \\sqrt \\left( \\right) \\% "
    "\\$ $ ^\\circ ^{\\circ} \\! \\; {,} \\text{cm} \\text{and} \\text{m} \\textbf{7} \\overline{12} \\mbox{5} \\ldots "
    "\\dots \\mathrm{th} \\\\"
)
_WORDS = ("km", "units", "degrees", " ", " . ", "an ", "a ", "\\text{ cm}", "\\text{ }", " square")
_PARTS = (*_NUMBER_TEXT.split(), *_LATEX_TEXT.split(), *_WORDS)
_HANDMADE = (
    ("\\frac{1}{2}", "0.5"),
    ("\\frac12", "1/2"),
    ("42.0", "42"),
    ("1,234", "1234"),
    ("x=5", "5"),
    ("\\sqrt2", "\\sqrt{2}"),
    ("5\\text{ cm}", "5"),
    ("30^\\circ", "30"),
    ("10\\%", "10"),
    ("\\text{Evelyn}", "Evelyn"),
    ("x\\in[-2,7]", "[-2,7]"),
    ("\\left(3, \\frac{\\pi}{2}\\right)", "(3,\\frac{\\pi}{2})"),
    ("-1", "- 1"),
    ("10 km", "10"),
    ("\\sqrt", "\\sqrt"),
    ("\\frac", "\\frac"),
    ("5\\text{ cm}\\text{ a}", "5\\text{ cm}\\text{ a}"),
)


def answers(seed: int) -> Iterator[tuple[str, str]]:
    """Yield pairs of an answer and a label: handmade ones, and random ones of which half are meant to be equal."""
    generator = random.Random(seed)
    yield from _HANDMADE
    for _ in range(40):
        parts = [generator.choice(_PARTS) for _ in range(generator.randint(1, 5))]
        other = list(parts)
        if generator.random() < 0.7:
            other[generator.randrange(len(other))] = generator.choice(_PARTS)
        yield "".join(parts), "".join(other)


def sample(text: str, label: str = "", *, num_tokens: int = 1) -> Sample:
    """Return one response with the label of its prompt."""
    prompt = Prompt(row=0, source="", text="", tokens=(1,), label=label)
    tokens = Segment(tokens=(1,) * num_tokens, is_sampled=True)
    name = SampleId(stage=0, step=0, group=0, sample=0)
    return Sample(id=name, prompt=prompt, segments=(tokens,), text=text, finish="stop")
