"""What is wrong with a text that is no sequence of tokens, in words: brackets, strings, numbers, layout."""

from __future__ import annotations

from collections.abc import Callable

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark.nodes import MAX_DEPTH
from compiler.frontend.starlark.tokens import MAX_TOKENS, TokenError

_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_CHARACTERS = {
    "!": "write `not`; unequal is `!=`",
    "?": "a choice is written: a if condition else b",
    "@": "there are no decorators: call the function",
    "$": 'a reference stands in a string: "${...}"',
    "`": "strings stand in double quotes",
    "\N{LEFT DOUBLE QUOTATION MARK}": 'strings stand in straight quotes: "..."',
    "\N{RIGHT DOUBLE QUOTATION MARK}": 'strings stand in straight quotes: "..."',
    "\N{NO-BREAK SPACE}": "this is a no-break space: type a plain one",
    "\\": "a backslash continues a line only as the last character of the line",
}


def explain_token(source: SourceFile, error: TokenError) -> Diagnostic:
    """Return one of RLC0120, RLC0123 to RLC0125, RLC0127, RLC0129 or RLC0130."""
    return _EXPLAIN[error.kind](source, error)


def _open_text(source: SourceFile, error: TokenError) -> Diagnostic:
    quote = source.text[error.end - 1]
    is_long = source.text.startswith(quote * 3, error.end - 1)
    line_end = source.text.find("\n", error.start)
    end = len(source.text) if line_end < 0 else line_end
    if is_long:
        end, said, advice = error.end + 2, "opened here", f"close it with {quote * 3}"
    else:
        said = "unexpected end of the line in a string"
        advice = f"close it: {source.text[error.start : min(end, error.start + 40)].rstrip()}{quote}"
    label = Label(Span(source, error.start, end), said, is_primary=True)
    more = () if is_long else (Help(f"or open and close it with {quote * 3}: it may then have several lines"),)
    return Diagnostic("RLC0125", "a string is not closed", (label,), (Help(advice), *more))


def _open_bracket(source: SourceFile, error: TokenError) -> Diagnostic:
    assert error.other is not None, "the bracket that is open"
    bracket = source.text[error.other]
    labels = [Label(Span(source, error.other, error.other + 1), "opened here", is_primary=True)]
    end = Span(source, max(error.end - 1, error.other), max(error.end, error.other + 1))
    if end.line != labels[0].span.line:
        labels.append(Label(end, "the text ends here"))
    advice = (Help(f"close it with {_CLOSERS[bracket]}"),)
    return Diagnostic("RLC0124", f"`{bracket}` is not closed", tuple(labels), advice)


def _stray_bracket(source: SourceFile, error: TokenError) -> Diagnostic:
    text = source.text[error.start]
    return _one(
        source, error, "RLC0124", f"unexpected `{text}`", "closes no bracket", "take it away, or open one before"
    )


def _other_bracket(source: SourceFile, error: TokenError) -> Diagnostic:
    assert error.other is not None, "the bracket that is open"
    opened, closed = source.text[error.other], source.text[error.start]
    labels = (
        Label(Span(source, error.other, error.other + 1), "opened here"),
        Label(Span(source, error.start, error.end), f"`{_CLOSERS[opened]}` would close it", is_primary=True),
    )
    advice = (Help(f"close `{opened}` with `{_CLOSERS[opened]}` before"),)
    return Diagnostic("RLC0124", f"`{closed}` does not close `{opened}`", labels, advice)


def _tabs(source: SourceFile, error: TokenError) -> Diagnostic:
    at = _indentation(source, error)
    advice = "indent the whole file with spaces, four for a level"
    return _one(source, at, "RLC0123", "tabs and spaces are mixed", "not to be compared with the lines above", advice)


def _unindent(source: SourceFile, error: TokenError) -> Diagnostic:
    at = _indentation(source, error)
    message = "unindent does not match any outer indentation level"
    return _one(source, at, "RLC0123", message, "no line above begins here", "indent it as far as the line it follows")


def _indentation(source: SourceFile, error: TokenError) -> TokenError:
    """The place of an indentation, or of what stands there if there is none."""
    return error if error.end > error.start else TokenError(error.kind, error.start, error.start + 1)


def _prefix(source: SourceFile, error: TokenError) -> Diagnostic:
    prefix = source.text[error.start : error.end]
    if prefix in ("f", "F", "rf", "fr"):
        advice = 'write "{} of {}".format(a, b), or "%d of %d" % (a, b)'
        return _one(source, error, "RLC0127", "Starlark has no f-strings", "not a prefix of strings here", advice)
    message = f"`{prefix}` is no prefix of a string"
    return _one(source, error, "RLC0127", message, "before a string", "the prefixes are r (raw) and b (bytes)")


def _character(source: SourceFile, error: TokenError) -> Diagnostic:
    char = source.text[error.start]
    code = "RLC0129" if char in "!?@" else "RLC0120"
    advice = _CHARACTERS.get(char, "take it away, or put it into a string")
    said = f"`{char}` means nothing in Starlark" if char.isprintable() else f"character U+{ord(char):04X} in the text"
    return _one(source, error, code, f"syntax error: {said}", "unexpected character", advice)


def _leading_zero(source: SourceFile, error: TokenError) -> Diagnostic:
    text = source.text[error.start : error.end]
    advice = f"write {text.lstrip('0') or '0'}, or 0o{text.lstrip('0') or '0'} for a number to the base 8"
    return _one(source, error, "RLC0127", f"{text} begins with a zero", "invalid int literal", advice)


def _escape(source: SourceFile, error: TokenError) -> Diagnostic:
    text = source.text[error.start : error.end]
    advice = f'a backslash itself is written \\\\, or in a raw string: r"{text}"'
    return _one(source, error, "RLC0127", f"invalid escape sequence {text}", "stands for nothing", advice)


def _large_escape(source: SourceFile, error: TokenError) -> Diagnostic:
    text = source.text[error.start : error.end]
    message = f"invalid escape sequence {text}: larger than a string's element of that kind may be"
    return _one(
        source, error, "RLC0127", message, "in strings up to \\x7f, in bytes up to \\xff", "write it as \\uXXXX"
    )


def _code_point(source: SourceFile, error: TokenError) -> Diagnostic:
    text = source.text[error.start : error.end]
    message = f"invalid escape sequence {text}: no Unicode code point"
    return _one(source, error, "RLC0127", message, "a surrogate, or above U+10FFFF", "name another character")


def _long_number(source: SourceFile, error: TokenError) -> Diagnostic:
    message = f"a number of {error.end - error.start:,} digits"
    return _one(source, error, "RLC0127", message, "too long", "no setting is that large")


def _large_float(source: SourceFile, error: TokenError) -> Diagnostic:
    message = f"floating-point literal {source.text[error.start : error.end][:40]} is too large"
    return _one(source, error, "RLC0127", message, "beyond 1.8e308", 'infinity is float("inf")')


def _deep(source: SourceFile, error: TokenError) -> Diagnostic:
    message = f"nested more than {MAX_DEPTH} levels deep"
    advice = "give parts of it names, or close the brackets that were left open"
    return _one(source, error, "RLC0130", message, "too deep", advice)


def _long(source: SourceFile, error: TokenError) -> Diagnostic:
    message = f"more than {MAX_TOKENS:,} words and signs in one file"
    return _one(source, error, "RLC0130", message, "the first beyond that", "let a function make what repeats")


def _one(source: SourceFile, at: TokenError, code: str, message: str, said: str, advice: str) -> Diagnostic:
    end = min(max(at.end, at.start + 1), len(source.text))
    label = Label(Span(source, at.start, end), said, is_primary=True)
    return Diagnostic(code, message, (label,), (Help(advice),))


_EXPLAIN: dict[str, Callable[[SourceFile, TokenError], Diagnostic]] = {
    "open text": _open_text,
    "open bracket": _open_bracket,
    "stray bracket": _stray_bracket,
    "other bracket": _other_bracket,
    "tabs": _tabs,
    "unindent": _unindent,
    "prefix": _prefix,
    "character": _character,
    "leading zero": _leading_zero,
    "escape": _escape,
    "large escape": _large_escape,
    "code point": _code_point,
    "long number": _long_number,
    "large float": _large_float,
    "deep": _deep,
    "long": _long,
}
