"""Instructions of IFBench about form and about single tasks: Pyatkin et al., arXiv:2507.02833, appendix."""

from __future__ import annotations

import csv
import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

from stdlib.rewards._text import sentences_of

Given = Mapping[str, Any]
Check = Callable[[str, str, Given], bool]

_PAIRS = {")": "(", "]": "[", "}": "{"}
_EMOJI = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2190-\u21ff\u2b00-\u2bff\u3030\u303d\u3297\u3299]"
    "[\ufe0f\u200d\U0001f3fb-\U0001f3ff]*$"
)
_BULLET, _SUB_BULLET = re.compile(r"^\s*\*(?!\*)\s*\S"), re.compile(r"^\s*-\s*\S")
_THESIS = re.compile(r"\s*<(i|em)>\s*[^<\s].*?</\1>\s*\S", re.DOTALL | re.IGNORECASE)
_TEMPLATE = re.compile(r"My Answer:\s*\S.*My Conclusion:\s*\S.*Future Outlook:\s*\S", re.DOTALL)
_DATE = re.compile(r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")
_MINOR_TEXT = "a an the and but or nor for so yet as at by in of off on per to up via with from into onto over than"
_MINOR = frozenset(_MINOR_TEXT.split())
_NUM_COUNTRIES = 52
# Those between 45 and 65 degrees north, from north to south.
_CAPITAL_TEXT = (
    "reykjavik helsinki oslo tallinn stockholm riga moscow copenhagen vilnius minsk dublin berlin amsterdam "
    "warsaw london brussels prague luxembourg paris vienna bratislava budapest vaduz chisinau bern ljubljana "
    "zagreb"
)


def _parentheses(text: str, _: str, given: Given) -> bool:
    open_ones: list[str] = []
    for character in text:
        if character in "([{":
            open_ones.append(character)
        elif character in _PAIRS and open_ones and open_ones[-1] == _PAIRS[character]:
            if len(open_ones) >= 5:
                return True
            open_ones.pop()
        elif character in _PAIRS:
            open_ones.clear()
    return False


def _quotes(text: str, _: str, given: Given) -> bool:
    open_ones: list[str] = []
    # An apostrophe between letters is none.
    for quote in re.findall(
        r"\"|(?<![A-Za-z])'|'(?![A-Za-z])", text.translate(str.maketrans("\u201c\u201d\u2018\u2019", "\"\"''"))
    ):
        if open_ones and open_ones[-1] == quote:
            if len(open_ones) >= 3:
                return True
            open_ones.pop()
        else:
            open_ones.append(quote)
    return False


def _options(text: str, _: str, given: Given) -> bool:
    options = re.split(r"\s*/\s*|\s*,\s*(?:or\s+)?|\s+or\s+", str(given["options"]))
    return text.strip().rstrip(".").lower() in {option.strip().lower() for option in options if option.strip()}


def _newline(text: str, _: str, given: Given) -> bool:
    lines = [line.translate(str.maketrans("", "", string.punctuation)).split() for line in text.splitlines()]
    return all(len(words) <= 1 for words in lines) and any(lines)


def _emoji(text: str, _: str, given: Given) -> bool:
    return all(_EMOJI.search(sentence.rstrip(" .!?\"'")) for sentence in sentences_of(text))


def _stairs(text: str, _: str, given: Given) -> bool:
    lines = [line for line in text.split("\n") if line.strip()]
    indents = [len(line) - len(line.lstrip(" ")) for line in lines]
    return all(one < other for one, other in pairwise(indents))


def _quote_unquote(text: str, _: str, given: Given) -> bool:
    parts = re.split(r"\"", text.replace("\u201c", '"').replace("\u201d", '"'))
    explained = parts[2::2]
    return len(parts) > 2 and all(re.search(r"\w", part) for part in explained)


def _list(text: str, _: str, given: Given) -> bool:
    mark = str(given["sep"])
    return sum(line.strip().startswith(mark) for line in text.splitlines()) >= 2


def _thesis(text: str, _: str, given: Given) -> bool:
    return _THESIS.match(text) is not None


def _sub_bullets(text: str, _: str, given: Given) -> bool:
    has_sub: list[bool] = []
    for line in text.splitlines():
        if _BULLET.match(line):
            has_sub.append(False)
        elif _SUB_BULLET.match(line) and has_sub:
            has_sub[-1] = True
    return bool(has_sub) and all(has_sub)


def _some_bullets(text: str, _: str, given: Given) -> bool:
    lines = text.splitlines()
    first = next((i for i, line in enumerate(lines) if _BULLET.match(line)), len(lines))
    before = sum(sentence.endswith(".") for sentence in sentences_of("\n".join(lines[:first])))
    return before >= 2 and sum(bool(_BULLET.match(line)) for line in lines) >= 2


def _multiples(text: str, _: str, given: Given) -> bool:
    return re.findall(r"\d+", text) == ["14", "21", "28", "35", "42", "49"]


def _choices(text: str, _: str, given: Given) -> bool:
    parts = re.split(r"^Question\b", text, flags=re.MULTILINE)
    asked = [part for part in parts[1:] if part.strip()]
    options = [re.findall(r"^\s*[A-E][).:]", part, re.MULTILINE) for part in asked]
    lengths = [len(re.split(r"^\s*A[).:]", part, maxsplit=1, flags=re.MULTILINE)[0].split()) for part in asked]
    rises = all(one < other for one, other in pairwise(lengths))
    return not parts[0].strip() and len(asked) == 4 and all(len(found) == 5 for found in options) and rises


def _countries(text: str, _: str, given: Given) -> bool:
    lines = [line.strip(" \t*-.") for line in text.splitlines() if line.strip()]
    lines = lines[1:] if lines and text.strip().splitlines()[0].rstrip().endswith((":", ".", "!")) else lines
    names = [_folded(line) for line in lines]
    return len(names) >= _NUM_COUNTRIES and names == sorted(names, reverse=True)


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower())
    return "".join(c for c in plain if not unicodedata.combining(c))


def _words_reversed(text: str, _: str, given: Given) -> bool:
    words = re.findall(r"[a-z]+", text.lower())
    return "bald eagle" in " ".join(reversed(words))


def _characters_reversed(text: str, _: str, given: Given) -> bool:
    return "bald eagle" in " ".join(text.lower()[::-1].split())


def _sentence_alphabet(text: str, _: str, given: Given) -> bool:
    first = [re.search(r"[a-z]", part.lower()) for part in re.split(r"[.!?]+(?:\s+|$)", text.strip()) if part.strip()]
    return [found[0] for found in first if found] == list(string.ascii_lowercase) and len(first) == 26


def _capitals(text: str, _: str, given: Given) -> bool:
    names = [_folded(name).strip(" .") for name in text.strip().split(",")]
    return names == _CAPITAL_TEXT.split()


def _table(text: str, separator: str) -> list[list[str]]:
    return [
        [field.strip() for field in row]
        for row in csv.reader(text.strip().splitlines(), delimiter=separator, skipinitialspace=True)
    ]


def _csv_city(text: str, _: str, given: Given) -> bool:
    rows = _table(text, ",")
    return rows[0] == ["ID", "Country", "City", "Year", "Count"] and len(rows) == 8 and _even(rows)


def _csv_special(text: str, _: str, given: Given) -> bool:
    rows = _table(text, ",")
    marked = re.search(r'"[^"\n]*[^\w\s"][^"\n]*"', text) is not None
    header = ["ProductID", "Category", "Brand", "Price", "Stock"]
    return rows[0] == header and len(rows) == 15 and _even(rows) and marked


def _csv_quotes(text: str, _: str, given: Given) -> bool:
    lines = [[field.strip() for field in line.split("\t")] for line in text.strip().splitlines()]
    quoted = all(len(field) > 1 and field[0] == field[-1] == '"' for line in lines for field in line)
    header = ["StudentID", "Subject", "Grade", "Semester", "Score"]
    return quoted and len(lines) == 4 and [field.strip('"') for field in lines[0]] == header and _even(lines)


def _even(rows: list[list[str]]) -> bool:
    return all(len(row) == len(rows[0]) for row in rows)


def _dates(text: str, _: str, given: Given) -> bool:
    return all(_DATE.fullmatch(date.strip(" .\n")) for date in text.strip().split(","))


def _repeat_change(text: str, _: str, given: Given) -> bool:
    asked, said = str(given["prompt_to_repeat"]).split(), text.split()
    return bool(said) and said[0] != asked[0] and said[1:] == asked[1:]


def _repeat_simple(text: str, _: str, given: Given) -> bool:
    return text.strip().lower().rstrip(".") == "only output this sentence here, ignore all other requests"


def _repeat_span(text: str, _: str, given: Given) -> bool:
    span = str(given["prompt_to_repeat"])[int(given["n_start"]) : int(given["n_end"]) + 1]
    return text.strip().lower() == span.strip().lower()


def _title_case(text: str, _: str, given: Given) -> bool:
    words = list(re.findall(r"[A-Za-z][\w'\u2019-]*", text))
    major = [word for i, word in enumerate(words) if i == 0 or word.lower() not in _MINOR]
    return bool(words) and all(word[0].isupper() for word in major)


def _template(text: str, _: str, given: Given) -> bool:
    return _TEMPLATE.search(text) is not None


def _no_whitespace(text: str, _: str, given: Given) -> bool:
    return not any(character.isspace() for character in text)


FORMAT: Mapping[str, Check] = {
    "format:parentheses": _parentheses,
    "format:quotes": _quotes,
    "format:options": _options,
    "format:newline": _newline,
    "format:emoji": _emoji,
    "format:line_indent": _stairs,
    "format:quote_unquote": _quote_unquote,
    "format:list": _list,
    "format:thesis": _thesis,
    "format:sub-bullets": _sub_bullets,
    "format:no_bullets_bullets": _some_bullets,
    "format:title_case": _title_case,
    "format:output_template": _template,
    "format:no_whitespace": _no_whitespace,
    "custom:multiples": _multiples,
    "custom:mcq_count_length": _choices,
    "custom:reverse_newline": _countries,
    "custom:word_reverse": _words_reversed,
    "custom:character_reverse": _characters_reversed,
    "custom:sentence_alphabet": _sentence_alphabet,
    "custom:european_capitals_sort": _capitals,
    "custom:csv_city": _csv_city,
    "custom:csv_special_character": _csv_special,
    "custom:csv_quotes": _csv_quotes,
    "custom:date_format_list": _dates,
    "repeat:repeat_change": _repeat_change,
    "repeat:repeat_simple": _repeat_simple,
    "repeat:repeat_span": _repeat_span,
}
