"""The 25 instructions of IFEval: Zhou et al., arXiv:2311.07911, table 1.

`relation` is "at least", which is meant where there is none, or "less than".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from stdlib.rewards._language import language_of
from stdlib.rewards._text import count_sentences, words_of

Given = Mapping[str, Any]
Check = Callable[[str, str, Given], bool]

_PLACEHOLDER = re.compile(r"\[[^\[\]\n]*\]")
_BULLET = re.compile(r"^\s*(?:\*(?!\*)|-)\s*\S", re.MULTILINE)
_HIGHLIGHT = re.compile(r"(?<!\*)\*\*?(?=[^\s*])[^\n*]*\S\*\*?|(?<!\*)\*\*?[^\s*]\*\*?")
_TITLE = re.compile(r"<<[^\n<>]+>>")
_CAPITAL = re.compile(r"\b[A-Z][A-Z0-9'-]*\b")
_DIVIDER = re.compile(r"\s?\*\*\*\s?")
_POSTSCRIPTS = {"P.P.S": r"\bp\.\s?p\.\s?s", "P.S.": r"\bp\.\s?s\."}
_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def _compares(number: int, given: Given, relation: str, wanted: str) -> bool:
    if given.get(relation, "at least") == "less than":
        return number < int(given[wanted])
    return number >= int(given[wanted])


def _count(word: str, text: str) -> int:
    return len(re.findall(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE))


def _existence(text: str, _: str, given: Given) -> bool:
    return all(_holds(keyword, text) for keyword in given["keywords"])


def _holds(keyword: str, text: str) -> bool:
    return keyword.lower() in text.lower()


def _frequency(text: str, _: str, given: Given) -> bool:
    return _compares(text.lower().count(str(given["keyword"]).lower()), given, "relation", "frequency")


def _forbidden(text: str, _: str, given: Given) -> bool:
    return not any(_count(word, text) for word in given["forbidden_words"])


def _letters(text: str, _: str, given: Given) -> bool:
    return _compares(text.lower().count(str(given["letter"]).lower()), given, "let_relation", "let_frequency")


def _language(text: str, _: str, given: Given) -> bool:
    return language_of(text) == str(given["language"])


def _sentences(text: str, _: str, given: Given) -> bool:
    return _compares(count_sentences(text), given, "relation", "num_sentences")


def _paragraphs(text: str, _: str, given: Given) -> bool:
    parts = _DIVIDER.split(text)
    inner = [part for part in parts[1:-1] if not part.strip()]
    return not inner and sum(bool(part.strip()) for part in parts) == int(given["num_paragraphs"])


def _num_words(text: str, _: str, given: Given) -> bool:
    return _compares(len(words_of(text)), given, "relation", "num_words")


def _first_word(text: str, _: str, given: Given) -> bool:
    parts = [part.strip() for part in re.split(r"\n\n", text) if part.strip()]
    at = int(given["nth_paragraph"])
    if len(parts) != int(given["num_paragraphs"]) or at > len(parts):
        return False
    first = re.match(r"[^\w]*([\w'-]+)", parts[at - 1])
    return first is not None and first[1].strip("'").lower() == str(given["first_word"]).lower()


def _placeholders(text: str, _: str, given: Given) -> bool:
    return len(_PLACEHOLDER.findall(text)) >= int(given["num_placeholders"])


def _postscript(text: str, _: str, given: Given) -> bool:
    marker = str(given["postscript_marker"])
    return re.search(_POSTSCRIPTS.get(marker, re.escape(marker)), text, re.IGNORECASE) is not None


def _bullets(text: str, _: str, given: Given) -> bool:
    return len(_BULLET.findall(text)) == int(given["num_bullets"])


def _constrained(text: str, _: str, given: Given) -> bool:
    return any(answer in text for answer in _ANSWERS)


def _highlights(text: str, _: str, given: Given) -> bool:
    return len(_HIGHLIGHT.findall(text)) >= int(given["num_highlights"])


def _sections(text: str, _: str, given: Given) -> bool:
    heading = re.compile(rf"\s?{re.escape(str(given['section_spliter']))}\s?\d+\s?")
    return len(heading.findall(text)) >= int(given["num_sections"])


def _json(text: str, _: str, given: Given) -> bool:
    inner = re.fullmatch(r"```(?:json)?\s*(.*?)\s*```", text.strip(), re.DOTALL | re.IGNORECASE)
    try:
        json.loads(inner[1] if inner else text)
    except (ValueError, RecursionError):
        return False
    return True


def _title(text: str, _: str, given: Given) -> bool:
    return any(found.strip("<>").strip() for found in _TITLE.findall(text))


def _two_responses(text: str, _: str, given: Given) -> bool:
    parts = text.split("******")
    inner = [part for part in parts[1:-1] if not part.strip()]
    said = [part.strip() for part in parts if part.strip()]
    return not inner and len(said) == 2 and said[0] != said[1]


def _repeats(text: str, _: str, given: Given) -> bool:
    return text.strip().lower().startswith(str(given["prompt_to_repeat"]).strip().lower())


def _ends(text: str, _: str, given: Given) -> bool:
    return text.strip().strip('"').lower().endswith(str(given["end_phrase"]).strip().lower())


def _quoted(text: str, _: str, given: Given) -> bool:
    said = text.strip()
    return len(said) > 1 and said[0] == said[-1] == '"'


def _capitals(text: str, _: str, given: Given) -> bool:
    return _compares(len(_CAPITAL.findall(text)), given, "capital_relation", "capital_frequency")


def _is_english(text: str) -> bool:
    return language_of(text) == "en"


def _upper(text: str, _: str, given: Given) -> bool:
    return text.isupper() and _is_english(text)


def _lower(text: str, _: str, given: Given) -> bool:
    return text.islower() and _is_english(text)


def _no_comma(text: str, _: str, given: Given) -> bool:
    return "," not in text


IFEVAL: Mapping[str, Check] = {
    "keywords:existence": _existence,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "language:response_language": _language,
    "length_constraints:number_sentences": _sentences,
    "length_constraints:number_paragraphs": _paragraphs,
    "length_constraints:number_words": _num_words,
    "length_constraints:nth_paragraph_first_word": _first_word,
    "detectable_content:number_placeholders": _placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _bullets,
    "detectable_format:constrained_response": _constrained,
    "detectable_format:number_highlighted_sections": _highlights,
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeats,
    "startend:end_checker": _ends,
    "startend:quotation": _quoted,
    "change_case:capital_word_frequency": _capitals,
    "change_case:english_capital": _upper,
    "change_case:english_lowercase": _lower,
    "punctuation:no_comma": _no_comma,
}
