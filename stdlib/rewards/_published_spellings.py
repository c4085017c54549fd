r"""Final answers spelt as two published graders spell them, for comparing as texts exactly as those do.

`hendrycks_equal` is that of MATH (Hendrycks et al., arXiv:2103.03874), whose grader also says where the answer is;
`minerva_spelling` is that of Lewkowycz et al., arXiv:2206.14858, appendix D.1, on which the grader of DAPO rests.  The
order of their steps is theirs: some steps make what a later one looks for.
"""

from __future__ import annotations

import re

_BARE_ROOT = re.compile(r"\\sqrt(?!\{)(.)", re.DOTALL)
_WHOLE_SLASH = re.compile(r"(-?\d+)/(-?\d+)")
_GONE_MATH = ("\n", "\\!")
_ALSO_GONE_MATH = ("\\left", "\\right", "^{\\circ}", "^\\circ", "\\$")

_GONE_FIRST = (("an ", ""), ("a ", ""), (".$", "$"), ("\\$", ""), ("\\ ", ""), (" ", ""), ("mbox", "text"))
_JOINS = ((",\\text{and}", ","), ("\\text{and}", ","), ("\\text{m}", "\\text{}"))
_UNIT_TEXT = (
    "square ways integers dollars mph inches hours km units \\ldots sue points feet minutes digits cents degrees cm gm "
    "pounds meters meals edges students childrentickets multiples \\text{s} \\text{.}"
)
_LAYOUT_TEXT = r"\text{} \mathrm{th} ^\circ ^{\circ} \; ,\! {,} " + '" \\dots'
_GONE_LATER = (*_UNIT_TEXT.split(), "\\text{\ns}", "\\text{}^2", "\\text{}^3", "\\text{\n}", *_LAYOUT_TEXT.split())


def hendrycks_answer(text: str) -> str | None:
    r"""Return what MATH takes for the answer: behind the last `\boxed ` up to a dollar sign, or in the last box."""
    if "\\boxed " in text:
        return text.rpartition("\\boxed ")[2].partition("$")[0]
    start = text.rfind("\\boxed")
    opening = start + len("\\boxed")
    if start < 0 or not text.startswith("{", opening):
        return None
    depth = 0
    for at in range(opening, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return text[opening + 1 : at]
    return None


def hendrycks_equal(one: str, other: str) -> bool:
    """Whether two final answers are one to the grader of MATH; to the letter where it cannot spell one of them."""
    first, second = _hendrycks_spelling(one), _hendrycks_spelling(other)
    return one == other if first is None or second is None else first == second


def _hendrycks_spelling(text: str) -> str | None:
    spelt = text
    for gone in _GONE_MATH:
        spelt = spelt.replace(gone, "")
    spelt = spelt.replace("\\\\", "\\").replace("tfrac", "frac").replace("dfrac", "frac")
    for gone in _ALSO_GONE_MATH:
        spelt = spelt.replace(gone, "")
    if spelt.count("\\text{ ") > 1:
        return None
    spelt = spelt.partition("\\text{ ")[0].replace("\\%", "").replace(" .", " 0.").replace("{.", "{0.")
    if not spelt:
        return spelt
    spelt = f"0{spelt}" if spelt.startswith(".") else spelt
    left, equals, right = spelt.partition("=")
    if equals and "=" not in right and len(left) <= 2:
        spelt = right
    if "" in spelt.split("\\sqrt")[1:]:
        return None
    spelt = _BARE_ROOT.sub(r"\\sqrt{\1}", spelt).replace(" ", "")
    if "" in spelt.split("\\frac")[1:]:
        return None
    spelt = _braced_fractions(spelt)
    if spelt == "0.5":
        return "\\frac{1}{2}"
    whole = _WHOLE_SLASH.fullmatch(spelt)
    if whole and all(str(int(part)) == part for part in whole.groups()):
        return f"\\frac{{{whole[1]}}}{{{whole[2]}}}"
    return spelt


def _braced_fractions(text: str) -> str:
    r"""Put braces around the digits of `\frac12`; a text that ends behind one digit stays as it is."""
    head, *parts = text.split("\\frac")
    for i, part in enumerate(parts):
        if part.startswith("{"):
            continue
        if len(part) < 2:
            return text
        below = part[1:] if part[1] == "{" else f"{{{part[1]}}}{part[2:]}"
        parts[i] = f"{{{part[0]}}}{below}"
    return "\\frac".join((head, *parts))


def minerva_spelling(text: str) -> str:
    """Return the one spelling of a final answer in Minerva."""
    text = text.rpartition("=")[2]
    for old, new in (*_GONE_FIRST, *_JOINS):
        text = text.replace(old, new)
    for gone in _GONE_LATER:
        text = text.replace(gone, "")
    text = re.sub(r"(.*?)\$(.*?)\$(.*)", r"$\2$", text)
    for command in ("text", "textbf", "overline"):
        text = re.sub(rf"\\{command}\{{(.*?)\}}", r"\1", text)
    text = re.sub(r"\\boxed\{(.*)\}", r"\1", text)
    text = re.sub(r"frac([^{])(.)", r"frac{\1}{\2}", text)
    text = re.sub(r"sqrt([^{])", r"sqrt{\1}", text).replace("$", "")
    digits = text.replace(",", "")
    return (digits if digits.isdigit() else text).strip()
