r"""Final answers of mathematics as text: one spelling for what people write in several.

The steps are those that Lewkowycz et al. (Minerva, arXiv:2206.14858, appendix D.1) and Hendrycks et al. (MATH,
arXiv:2103.03874) describe for comparing answers as texts: words and units around a number go, LaTeX that only lays out
goes, fractions and roots get their braces, thousands lose their commas.  Nothing is computed.
"""

from __future__ import annotations

import re

_TEXT = re.compile(r"\\(?:text|mbox|textbf|mathrm|textit)\s*\{([^{}]*)\}")
_LAYOUT = re.compile(r"\\(?:left|right|[!,;: ]|quad|qquad|displaystyle|limits)|\\?\$|\\?%|~|\^\{?\\circ\}?")
_UNITS = re.compile(
    r"(?<=[\d}\s])(?:square|cubic|units?|integers?|dollars?|mph|inches|feet|foot|ft|hours?|days?|degrees?|minutes?|"
    r"seconds?|meters?|metres?|cm|mm|km|kg|grams?|miles?|cents?|points?|percent|sqrt inches|am|pm)(?:\^\{?\d\}?)?"
    r"(?![A-Za-z])"
)
_BARE_FRACTION = re.compile(r"\\[dt]?frac\s*(\d|\{[^{}]*\})\s*(\d|[A-Za-z]|\{[^{}]*\})")
_BARE_ROOT = re.compile(r"\\sqrt\s*(\w)")
_SLASH = re.compile(r"(-?\d+)/(\d+)")
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_ASSIGNED = re.compile(r"[A-Za-z]\w?\s*=\s*(?=[^=]+$)")
_NUMBER = re.compile(r"-?\d+\.\d+")


def normal_answer(text: str) -> str:
    """Return the one spelling of a final answer."""
    text = text.strip().replace("\u2212", "-").replace("\n", " ")
    text = _TEXT.sub(r"\1", text)
    text = _LAYOUT.sub("", text).replace("\\{", "{").replace("\\}", "}")
    text = text.strip().rstrip(".").strip()
    while (shorter := _UNITS.sub("", text).strip()) != text:
        text = shorter
    text = _ASSIGNED.sub("", text, count=1) if text.count("=") == 1 else text
    text = _BARE_FRACTION.sub(lambda m: f"\\frac{_braced(m[1])}{_braced(m[2])}", text)
    text = _BARE_ROOT.sub(r"\\sqrt{\1}", text)
    text = _SLASH.sub(r"\\frac{\1}{\2}", text) if _SLASH.fullmatch(text) else text
    text = _THOUSANDS.sub("", text)
    text = re.sub(r"(?<![\d])\.(?=\d)", "0.", text)
    if _NUMBER.fullmatch(text):
        text = text.rstrip("0").rstrip(".")
    return "".join(text.split())


def _braced(part: str) -> str:
    return part if part.startswith("{") else f"{{{part}}}"
