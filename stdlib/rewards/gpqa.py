r"""The letter that the response chooses, against the right one: multiple-choice questions such as those of GPQA.

What stands before the last `</think>` does not count.  In the rest these are looked for, in this order, and of each the
last one counts: `\boxed{C}`; "answer is C", "answer: C", "choose C" and their like; a line that is only a letter; a
letter in brackets or with a full stop at the start of the last line; the one letter that the whole text holds by
itself.  A letter is one only where no other letter touches it: "The answer is clearly B" chooses B, and not C for
"clearly".

The label is a letter, the index of the right choice, or its text; an index or a text needs `choices`, the list of them,
in the row's metadata.  `valid_letters` there says which letters may be chosen, else there is one for each choice, or A
to D.  A response that gives the text of a choice instead of a letter chooses that.

Source: Rein et al., GPQA, arXiv:2311.12022, appendix A.3.1: the answer is asked for as "The correct answer is (insert
answer here)".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from stdlib.rewards._isolation import Isolation

if TYPE_CHECKING:
    from stdlib.samples import JsonValue, Sample

# Patterns meet what a policy makes up.
ISOLATION = Isolation(score=0.0, memory_gib=2, imports=())

_LETTER = r"[:=(\[{*_\s\"'$]*(?:\\(?:text|mathrm|textbf)\{)?\(?([A-Z])(?![A-Za-z'])"
_FILLED = (
    r"(?:\s+(?:is|are|would|be|should|must|clearly|definitely|most|likely|probably|therefore|thus|then|indeed|simply|"
    r"option|choice|answer|letter))*"
)
_SAID = (
    re.compile(r"\\boxed\s*\{" + _LETTER),
    re.compile(r"\b(?:answer|choice|option)\b(?:" + _FILLED + r")" + _LETTER, re.IGNORECASE),
    re.compile(r"\b(?:choose|select|pick)\b" + _FILLED + _LETTER, re.IGNORECASE),
    re.compile(r"^[(\[*_ \t]*([A-Z])[)\]*_. \t]*$", re.MULTILINE),
)
_OPENS = re.compile(r"^[(\[*_\s]*([A-Z])\s*[).\]:*]")
_ALONE = re.compile(r"(?<![A-Za-z'])([A-Z])(?![A-Za-z'])")
_DEFAULT = "ABCD"


def reward(sample: Sample) -> float:
    """Return 1.0 or 0.0.  Raises: ValueError if the label names no choice."""
    metadata = sample.prompt.metadata
    known = metadata if isinstance(metadata, dict) else {}
    given = known.get("choices")
    choices = [str(choice) for choice in given] if isinstance(given, list) else []
    letters = _letters(known.get("valid_letters"), len(choices))
    return float(_chosen(sample.text, letters, choices) == _right(sample.prompt.label, letters, choices))


def _letters(given: JsonValue, num_choices: int) -> str:
    if isinstance(given, list) and given:
        return "".join(str(letter).strip().upper()[:1] for letter in given)
    if isinstance(given, str) and given.strip():
        return "".join(letter for letter in given.upper() if letter.isalpha())
    return "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:num_choices] if num_choices else _DEFAULT


def _right(label: JsonValue, letters: str, choices: list[str]) -> str:
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(letters):
        return letters[label]
    if isinstance(label, str):
        bare = label.strip().strip("()[].").strip()
        if len(bare) == 1 and bare.upper() in letters:
            return bare.upper()
        same = [letter for letter, choice in zip(letters, choices, strict=False) if _plain(choice) == _plain(label)]
        if same:
            return same[0]
    raise ValueError(f"the label {label!r} is no letter of {letters}, no index of one, and no text of `choices`")


def _chosen(text: str, letters: str, choices: list[str]) -> str | None:
    said = text.rpartition("</think>")[2].strip()
    for pattern in _SAID:
        found = [letter for letter in pattern.findall(said) if letter in letters]
        if found:
            return found[-1]
    last_line = said.splitlines()[-1] if said else ""
    opens = _OPENS.match(last_line)
    if opens and opens[1] in letters:
        return opens[1]
    alone = {letter for letter in _ALONE.findall(said) if letter in letters}
    if len(alone) == 1:
        return alone.pop()
    if alone:
        return None
    named = [
        letter for letter, choice in zip(letters, choices, strict=False) if _plain(choice) and _holds(said, choice)
    ]
    return named[0] if len(named) == 1 else None


def _holds(text: str, choice: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(_plain(choice))}(?!\w)", _plain(text)) is not None


def _plain(text: str) -> str:
    return " ".join(text.lower().split()).strip(" .")
