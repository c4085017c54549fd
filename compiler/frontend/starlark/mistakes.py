"""The mistakes that people make in Starlark, told by their names.

A parser only knows which tokens it would have taken.  What a person did is read from the tokens around the place: words
of Python that Starlark lacks, `=` for `==`, a colon left out.  Where nothing is recognised, the tokens that would do
are given in words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.starlark.token_mistakes import explain_token
from compiler.frontend.starlark.tokens import KEYWORDS, RESERVED, Token, TokenError

if TYPE_CHECKING:
    from compiler.frontend.starlark.syntax import UnexpectedTokenError

_COMPARISONS = ("==", "!=", "<", ">", "<=", ">=", "in", "not")
_BLOCKS = ("if", "elif", "else", "for", "def")
_OPERANDS = ("NAME", "INT", "FLOAT", "STRING", "BYTES")
_EXPRESSION = frozenset((*_OPERANDS, "(", "[", "{", "+", "-", "~", "not", "lambda"))
_OPERATORS = frozenset(
    ("+", "-", "*", "/", "//", "%", "&", "|", "^", "<<", ">>", "and", "or", "not", "if", ".", "(", "[", *_COMPARISONS)
)
_WORDS = {
    "NEWLINE": "the end of the line",
    "INDENT": "an indented line",
    "DEDENT": "the end of the block",
    "$END": "the end of the text",
    "NAME": "a name",
    "STRING": "a string",
}
_INSTEAD = {
    "import": 'files are loaded by name: load("//recipes:grpo.star", "grpo")',
    "from": 'files are loaded by name: load("//recipes:grpo.star", "grpo")',
    "while": "loop over a range that is long enough, and break: for i in range(100):",
    "class": "a function that returns a dict does it: def settings(lr): return dict(lr = lr)",
    "try": "nothing is caught: test before, with `in` or a condition",
    "except": "nothing is caught: test before, with `in` or a condition",
    "finally": "nothing is caught: test before, with `in` or a condition",
    "raise": 'stop with a message: fail("what is wrong")',
    "assert": 'test and stop: if not condition: fail("what is wrong")',
    "with": "there are no resources to close: take the line away",
    "async": "everything happens in order: take the word away",
    "await": "everything happens in order: take the word away",
    "global": "a function changes no names of the file: return the value",
    "nonlocal": "a function changes no names around it: return the value, or change a list",
    "yield": "collect the values in a list, and return that",
    "del": "dicts and lists have pop: d.pop(key)",
    "is": "compare with == or !=",
    "as": "a loaded name is renamed so: load(file, new = name)",
}
_SPELLED_TWICE = {
    "&": ("&&", "`and` joins two conditions"),
    "|": ("||", "`or` joins two conditions"),
    "+": ("++", "a number is raised so: x += 1"),
    "-": ("--", "a number is lowered so: x -= 1"),
}
_LONGEST_QUOTE = 40


class _Place(NamedTuple):
    """Where a parser stopped: the tokens, the one that it did not take, and where its statement begins."""

    source: SourceFile
    tokens: Sequence[Token]
    at: int
    first: int
    expected: frozenset[str]

    def kind(self, offset: int = 0) -> str:
        """The kind of the token so many places further on; empty outside the text."""
        i = self.at + offset
        return self.tokens[i][0] if 0 <= i < len(self.tokens) else ""

    def span(self, offset: int = 0, to: int | None = None) -> Span:
        """The place of a token, or from one to another."""
        start, end = self.tokens[self.at + offset][1], self.tokens[self.at + (offset if to is None else to)][2]
        return Span(self.source, start, min(max(end, start + 1), len(self.source.text)))

    def touches_previous(self) -> bool:
        """Whether nothing stands between the token and the one before."""
        return self.at > 0 and self.tokens[self.at - 1][2] == self.tokens[self.at][1]

    def statement(self) -> Sequence[Token]:
        """The tokens of the statement, up to the one not taken."""
        return self.tokens[self.first : self.at]


def explain(
    source: SourceFile, error: TokenError | UnexpectedTokenError, tokens: Sequence[Token], between: tuple[int, int]
) -> Diagnostic:
    """Return the diagnostic for a text that is not Starlark; `between` are the offsets of the text in its file."""
    if isinstance(error, TokenError):
        return explain_token(source, error)
    first = error.index
    while first > 0 and tokens[first - 1][0] not in ("NEWLINE", "INDENT", "DEDENT", ";"):
        first -= 1
    place = _Place(source, tokens, error.index, first, error.expected)
    for look in _LOOKS:
        found = look(place)
        if found is not None:
            return found
    return _anything_else(place, between)


def _word_of_python(place: _Place) -> Diagnostic | None:
    word = place.kind()
    if word not in RESERVED:
        return None
    label = Label(place.span(), "reserved, and without a meaning here", is_primary=True)
    return Diagnostic("RLC0126", f"Starlark has no `{word}`", (label,), (Help(_INSTEAD[word]),))


def _annotation(place: _Place) -> Diagnostic | None:
    statement = place.statement()
    in_def = bool(statement) and statement[0][0] == "def"
    arrow = place.kind() == "-" and place.kind(1) == ">"
    in_parameters = in_def and any(token[0] == "(" for token in statement)
    colon = place.kind() == ":" and place.kind(-1) == "NAME" and (in_parameters or len(statement) == 1)
    if not (in_def and arrow) and not colon:
        return None
    label = Label(place.span(0, 1 if arrow else 0), "begins a type", is_primary=True)
    advice = (Help("take the type away; a comment may say it"),)
    return Diagnostic("RLC0126", "Starlark has no type annotations", (label,), advice)


def _single_equals(place: _Place) -> Diagnostic | None:
    if place.kind() != "=":
        return None
    condition = {"if", "elif", "and", "or", "not", "return"}
    if not any(token[0] in condition for token in place.statement()):
        return None
    label = Label(place.span(), "assigns", is_primary=True)
    return Diagnostic("RLC0121", "`=` in a condition", (label,), (Help("write == to compare", replaced="=="),))


def _no_colon(place: _Place) -> Diagnostic | None:
    statement = place.statement()
    if ":" not in place.expected or not statement or statement[0][0] not in _BLOCKS:
        return None
    word = statement[0][0]
    if word == "else" and place.kind() == "if":
        return _only(place, "RLC0129", "`else if` is one word here", "write elif", -1)
    if place.kind() not in ("NEWLINE", "$END", *_OPERANDS, "return", "pass"):
        return None
    end = statement[-1][2]
    label = Label(
        Span(place.source, end, min(end + 1, len(place.source.text))), "a colon belongs here", is_primary=True
    )
    line = " ".join(place.source.text[statement[0][1] : end].split())
    advice = (Help(f"{line}:"),) if len(line) <= _LONGEST_QUOTE else ()
    return Diagnostic("RLC0122", f"a colon is missing after `{word}`", (label,), advice)


def _indentation(place: _Place) -> Diagnostic | None:
    if place.kind() == "INDENT":
        message, said = "unexpected indentation", "further in than the line before"
        return _one("RLC0123", message, place.span(), said, "begin it where the line before begins")
    if "INDENT" not in place.expected:
        return None
    header = place.at - 1
    while header > 0 and place.tokens[header - 1][0] not in ("NEWLINE", "INDENT", "DEDENT"):
        header -= 1
    word = place.tokens[header][0]
    labels = [Label(Span(place.source, *place.tokens[header][1:3]), "begins a block")]
    at = place.span(1 if place.kind() == "DEDENT" and place.at + 1 < len(place.tokens) else 0)
    labels.append(Label(at, "not indented", is_primary=True))
    advice = (Help("indent it by four spaces; a block that does nothing is `pass`"),)
    return Diagnostic("RLC0123", f"an indented block must follow `{word}`", tuple(labels), advice)


def _chained(place: _Place) -> Diagnostic | None:
    if place.kind() not in _COMPARISONS or "and" not in place.expected:
        return None
    depth = 0
    for i in range(place.at - 1, place.first - 1, -1):
        kind = place.tokens[i][0]
        if kind in (")", "]", "}"):
            depth += 1
        elif kind in ("(", "[", "{"):
            depth -= 1
            if depth < 0:
                return None
        elif depth == 0 and kind in _COMPARISONS:
            first = place.span(i - place.at)
            middle = place.source.text[first.end : place.span().start].strip()
            labels = (Label(first, "compares"), Label(place.span(), "and compares the result", is_primary=True))
            second = "not in" if place.kind() == "not" else place.kind()
            message = f"`{first.text}` does not associate with `{second}`: comparisons are not chained"
            return Diagnostic("RLC0128", message, labels, (Help(f"write ... and {middle} {second} ..."),))
    return None


def _other_languages(place: _Place) -> Diagnostic | None:
    kind = place.kind()
    if kind in _SPELLED_TWICE and place.kind(-1) == kind and place.touches_previous():
        written, advice = _SPELLED_TWICE[kind]
        return _only(place, "RLC0129", f"Starlark has no `{written}`", advice, -1)
    if kind == "NEWLINE" and place.kind(-1) == place.kind(-2) and place.kind(-1) in ("+", "-"):
        written, advice = _SPELLED_TWICE[place.kind(-1)]
        return _one("RLC0129", f"Starlark has no `{written}`", place.span(-2, -1), "no operator", advice)
    if kind == ">" and place.kind(-1) == "<":
        return _only(place, "RLC0129", "Starlark has no `<>`", "unequal is !=", -1)
    if kind == "**":
        return _only(
            place, "RLC0129", "Starlark has no `**` between numbers", "multiply; 1 << n is 2 to the power of n", 0
        )
    if kind == ":" and place.kind(1) == "=":
        return _one("RLC0129", "Starlark has no `:=`", place.span(0, 1), "no such thing", "assign on a line of its own")
    if kind == "for" and place.expected == {":"}:
        return _only(place, "RLC0129", "Starlark has no set comprehensions", "write set([... for ... in ...])", 0)
    if kind == "for" and {",", ")"} <= place.expected:
        return _only(place, "RLC0129", "Starlark has no generators", "write a list: [... for ... in ...]", 0)
    if kind == "{" and place.kind(-1) == ")":
        return _only(place, "RLC0129", "blocks have no braces", "end the line with a colon, and indent the block", 0)
    return None


def _no_comma(place: _Place) -> Diagnostic | None:
    kind, before = place.kind(), place.kind(-1)
    if kind not in _OPERANDS or before not in (*_OPERANDS, ")", "]", "}") or "NEWLINE" not in place.expected | {kind}:
        return None
    if place.at == place.first:
        return None
    previous = place.tokens[place.at - 1]
    both = place.span(-1, 0)
    if before == "NAME" and previous[3] == "print":
        return _one(
            "RLC0138", "syntax error: print is a function", both, "without brackets", f"print({place.span().text})"
        )
    if before in ("INT", "FLOAT") and kind == "NAME" and place.touches_previous():
        message = f"syntax error: `{both.text}` is neither a number nor a name"
        return _one(
            "RLC0138", message, both, "a number with letters", f'text and quantities stand in quotes: "{both.text}"'
        )
    if before == kind == "STRING":
        return _one(
            "RLC0138",
            "syntax error: two strings side by side",
            both,
            "nothing stands between them",
            "join them with +, or put a comma between them",
        )
    labels = (
        Label(place.span(-1), "one value"),
        Label(place.span(), "and another", is_primary=True),
    )
    advice = (Help("put a comma between them, or an operator"),)
    return Diagnostic("RLC0138", "syntax error: something is missing between two values", labels, advice)


def _keyword_as_name(place: _Place) -> Diagnostic | None:
    if place.kind() == "=" and place.kind(-1) in KEYWORDS and place.at == place.first + 1:
        place = place._replace(at=place.first)
        message = f"`{place.kind()}` is a word of the language, not an identifier"
        return _one("RLC0120", f"syntax error: {message}", place.span(), "cannot be a name", f"call it {place.kind()}_")
    kind = place.kind()
    if kind not in KEYWORDS or "NAME" not in place.expected or place.kind(-1) not in ("def", ".", "(", ",", "for", "*"):
        return None
    if kind in _EXPRESSION or place.expected >= _EXPRESSION:
        return None
    message = f"`{kind}` is a word of the language, not an identifier"
    return _one("RLC0120", f"syntax error: {message}", place.span(), "cannot be a name", f"call it {kind}_")


def _no_else(place: _Place) -> Diagnostic | None:
    if "else" not in place.expected or ":" in place.expected:
        return None
    condition = max((i for i, token in enumerate(place.statement()) if token[0] == "if"), default=None)
    if condition is None:
        return None
    at = Span(place.source, *place.statement()[condition][1:3])
    return _one(
        "RLC0120", "syntax error: conditional expression without else", at, "what otherwise?", "a if b else None"
    )


def _anything_else(place: _Place, between: tuple[int, int]) -> Diagnostic:
    text = place.span().text if place.kind() not in _WORDS or place.kind() in _OPERANDS else ""
    found = f"`{text[:_LONGEST_QUOTE]}`" if text else _WORDS[place.kind()].removeprefix("the ")
    if place.kind() in ("NEWLINE", "=") and place.kind(-1) == ",":
        message = "syntax error: unparenthesized tuple with trailing comma"
        return _one(
            "RLC0120", message, place.span(-1), "nothing follows", "take the comma away, or put brackets around"
        )
    if place.kind() == "=":
        message = "syntax error: a keyword argument has the form name = value"
        return _one("RLC0120", message, place.span(), "not after a name", "== compares two values")
    start, end = place.span().start, place.span().end
    if start >= between[1] > between[0]:
        start, end = between[1] - 1, between[1]
    label = Label(Span(place.source, start, end), f"expected {in_words(place.expected)}", is_primary=True)
    return Diagnostic("RLC0120", f"syntax error: unexpected {found}", (label,))


def in_words(expected: frozenset[str]) -> str:
    """Return kinds of tokens as a person calls them."""
    words: list[str] = []
    rest = set(expected)
    if rest >= {"NAME", "INT", "("}:
        words.append("an expression")
        rest -= _EXPRESSION
    elif len(rest & _OPERATORS) > 2:
        words.append("an operator")
        rest -= _OPERATORS
    rest -= {op for op in rest if op.endswith("=") and op not in ("=", "==", "!=", "<=", ">=")}
    words += sorted(_WORDS.get(kind, f"`{kind}`") for kind in rest)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " or " + words[-1] if words else "nothing more"


def _only(place: _Place, code: str, message: str, advice: str, back: int) -> Diagnostic:
    return _one(code, message, place.span(back, 0), "no such thing", advice)


def _one(code: str, message: str, at: Span, said: str, advice: str) -> Diagnostic:
    return Diagnostic(code, message, (Label(at, said, is_primary=True),), (Help(advice),))


_LOOKS: tuple[Callable[[_Place], Diagnostic | None], ...] = (
    _word_of_python,
    _annotation,
    _single_equals,
    _no_colon,
    _indentation,
    _chained,
    _other_languages,
    _keyword_as_name,
    _no_else,
    _no_comma,
)
