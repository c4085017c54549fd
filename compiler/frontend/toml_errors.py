"""What is wrong with a text that is not TOML, in words and places that a person can act on.

tomli stops at the first fault and points where it noticed.  The scanner of places knows more: which name was defined
before, which bracket is open, where the value that made no sense begins.
"""

from __future__ import annotations

import re

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.toml_spans import Clash, locate

_WORD = re.compile(r"[^\s,\[\]{}#\"'=\x00-\x1f\x7f]+")
_WORD_BEFORE = re.compile(_WORD.pattern + r"\Z")
_MEANT = {"True": "true", "False": "false", "TRUE": "true", "FALSE": "false", "yes": "true", "no": "false"}
_LONGEST_WORD = 60
_LEFT_OVER = "Expected newline or end of document after a statement"
_NOTHING_WORDS = ("None", "null", "nil", "none")


def syntax_error(source: SourceFile, reason: str, at: int) -> Diagnostic:
    """Return the diagnostic for a text that tomli refused for `reason` at the offset `at`: RLC0101 or RLC0102."""
    places = locate(source.text)
    if places.clash is not None and reason.startswith(("Cannot ", "Duplicate ")):
        return _defined_twice(source, places.clash)
    word = _word_around(source, at)
    if (reason == "Invalid value" and word.text) or (reason == _LEFT_OVER and word.start < at < word.end):
        return _not_a_value(word)
    begin = places.stopped_at if places.stopped_at is not None else at
    if reason in ("Unterminated string", "Illegal character '\\n'") or reason.startswith('Expected "'):
        return _open_string(source, begin)
    if reason == "Found invalid character '\\n'":
        return _open_string(source, begin)
    if reason.startswith("Unclosed ") and places.open_brackets:
        return _unclosed(source, at, opened=places.open_brackets[-1])
    label = Label(_visible(source, at), _in_words(source.text[at : at + 1], reason), is_primary=True)
    return Diagnostic("RLC0101", "this is not TOML", (label,))


def _defined_twice(source: SourceFile, clash: Clash) -> Diagnostic:
    labels = (
        Label(Span(source, *clash.first), "first here"),
        Label(Span(source, *clash.second), "and again here", is_primary=True),
    )
    advice = Help("keep one of them; tables with the same name are written as one table")
    return Diagnostic("RLC0102", f"`{clash.name}` is defined twice", labels, (advice,))


def _not_a_value(word: Span) -> Diagnostic:
    text = word.text if word.end - word.start <= _LONGEST_WORD else word.text[:_LONGEST_WORD] + "..."
    if text in _MEANT:
        advice = Help(f"write {_MEANT[text]}", replaced=_MEANT[text])
    elif text in _NOTHING_WORDS:
        advice = Help('leave the key out, or write "off" where a recipe set it')
    else:
        quoted = '"' + text.replace("\\", "\\\\") + '"'
        advice = Help(f"text stands in quotes: {quoted}", replaced=quoted if text == word.text else "")
    label = Label(word, "no number, no true or false, and not in quotes", is_primary=True)
    return Diagnostic("RLC0101", f"`{text}` is not a TOML value", (label,), (advice,))


def _open_string(source: SourceFile, begin: int) -> Diagnostic:
    quote = source.text[begin : begin + 1]
    if quote not in ("'", '"'):
        quote = '"'
    if source.text.startswith(quote * 3, begin):
        quote *= 3
    line_end = source.text.find("\n", begin)
    span = Span(source, begin, len(source.text) if line_end < 0 else line_end)
    where = "nowhere after this" if len(quote) == 3 else "not on this line"
    label = Label(span, f"the closing {quote} is {where}", is_primary=True)
    return Diagnostic("RLC0101", "a string is not closed", (label,))


def _unclosed(source: SourceFile, at: int, *, opened: int) -> Diagnostic:
    bracket = source.text[opened]
    closing, name = ("]", "array") if bracket == "[" else ("}", "table")
    labels = (
        Label(Span(source, opened, opened + 1), f"the {name} begins here"),
        Label(_visible(source, at), f"a comma or {closing} is missing before this", is_primary=True),
    )
    return Diagnostic("RLC0101", f"the {name} is not closed", labels)


def _word_around(source: SourceFile, at: int) -> Span:
    before = _WORD_BEFORE.search(source.text, max(0, at - 80), at)
    after = _WORD.match(source.text, at)
    start = at if before is None else before.start()
    end = at if after is None else after.end()
    return Span(source, start, end)


def _visible(source: SourceFile, at: int) -> Span:
    """The character at an offset; at a line's end the place behind the last character that can be seen."""
    text = source.text
    if at >= len(text) or text[at] == "\n":
        end = len(text[:at].rstrip())
        return Span(source, end, end)
    return Span(source, at, at + 1)


def _in_words(found: str, reason: str) -> str:
    if reason == "Invalid value":
        return "a value is missing here" if found in ("", "\n", "#", ",", "]", "}") else "no value begins like this"
    if reason == "Invalid statement":
        return "a line is `key = value` or `[table]`"
    if reason.startswith(("Found invalid character", "Illegal character")) and found:
        return f"the character U+{ord(found):04X} cannot stand here; in a string write it as an escape"
    if reason == "Invalid initial character for a key part":
        return "a key is made of letters, digits, _ and -; any other stands in quotes"
    if reason.startswith("Expected '=' after a key"):
        return "an `=` stands between a key and its value"
    if reason == _LEFT_OVER:
        return "a line holds one `key = value`; this is left over"
    lowered = reason[:1].lower() + reason[1:]
    return lowered if found else f"{lowered}, but the text ends here"
