"""The tokens of a Starlark text: words, signs, numbers, strings, and the layout of its lines.

They are made by hand rather than by lark, for three reasons: the formatter and the explanation of mistakes read them
without a parser, the literals are decoded once, and each fault of a literal is known at the place where it is.
A token is a tuple `(kind, start, end, value)`.  The kind of a word of the language or of a sign is its own text; the
others are NAME, INT, FLOAT, STRING, BYTES, and NEWLINE, INDENT, DEDENT, which take no room.
"""

from __future__ import annotations

import re

from compiler.frontend.starlark.literals import LiteralError, decode_number, decode_text
from compiler.frontend.starlark.nodes import MAX_DEPTH

Value = str | int | float | bytes | None
Token = tuple[str, int, int, Value]

# fmt: off
KEYWORDS = frozenset((
    "and", "break", "continue", "def", "elif", "else", "for", "if", "in", "lambda", "load", "not", "or", "pass",
    "return",
))
RESERVED = frozenset((
    "as", "assert", "async", "await", "class", "del", "except", "finally", "from", "global", "import", "is", "nonlocal",
    "raise", "try", "while", "with", "yield",
))
# fmt: on
MAX_TOKENS = 60_000

_STRING_BODIES = "|".join(
    (
        r'"""(?:[^"\\]++|\\[\s\S]|"(?!""))*+"""',
        r"'''(?:[^'\\]++|\\[\s\S]|'(?!''))*+'''",
        r'"(?!"")(?:[^"\\\n]++|\\[\s\S])*+"',
        r"'(?!'')(?:[^'\\\n]++|\\[\s\S])*+'",
    )
)
_NUMBERS = "|".join(
    (
        r"0[xX][0-9a-fA-F]++",
        r"0[oO][0-7]++",
        r"0[bB][01]++",
        r"(?:[0-9]++\.[0-9]*+|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+",
        r"[0-9]++(?:[eE][+-]?[0-9]++)?+",
    )
)
_TOKEN = re.compile(
    rf"""
    (?:[ \t\r\f]|\\\n)*+
    (?: (?P<text>(?:rb|br|r|b)?(?:{_STRING_BODIES}))
      | (?P<open_text>(?:rb|br|r|b)?["'])
      | (?P<word>[^\W\d]\w*+)
      | (?P<number>{_NUMBERS})
      | (?P<sign>(?://|<<|>>|[-+*/%&|^<>=!])=|\*\*|//|<<|>>|[-+*/%~&|^.,;:<>=])
      | (?P<open>[(\[{{])
      | (?P<close>[)\]}}])
      | (?P<line>\n)
      | (?P<comment>\#[^\n]*+)
      | (?P<end>\Z)
      | (?P<bad>.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_KINDS: dict[type, str] = {str: "STRING", bytes: "BYTES", int: "INT", float: "FLOAT"}
_INDENT = re.compile(r"[ \t\r\f]*+")
_PAIRS = {")": "(", "]": "[", "}": "{"}


class TokenError(Exception):
    """What makes a text no sequence of tokens: a kind of fault, its place, and the bracket it belongs to."""

    def __init__(self, kind: str, start: int, end: int, *, other: int | None = None) -> None:
        super().__init__(kind)
        self.kind = kind
        self.start = start
        self.end = end
        self.other = other


def tokenize(text: str) -> tuple[list[Token], list[tuple[int, int]]]:
    """Return the tokens of a file, and the places of its comments.  Raises: TokenError."""
    scanner = _Scanner(text, 0, len(text))
    while scanner.begin_line():
        scanner.scan(stops_at_line=True)
    end = scanner.last_end()
    scanner.found += [("DEDENT", end, end, None)] * (len(scanner.indents) - 1)
    return scanner.found, scanner.comments


def tokenize_expression(text: str, start: int, end: int) -> list[Token]:
    """Return the tokens of an expression, in which line breaks mean nothing.  Raises: TokenError."""
    scanner = _Scanner(text, start, end)
    scanner.scan(stops_at_line=False)
    return scanner.found


class _Scanner:
    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.at = start
        self.end = end
        self.found: list[Token] = []
        self.comments: list[tuple[int, int]] = []
        self.brackets: list[tuple[str, int]] = []
        self.indents = [""]

    def last_end(self) -> int:
        return self.found[-1][2] if self.found else self.at

    def begin_line(self) -> bool:
        """Go to the next line that says something, and lay it out; whether there is one."""
        while self.at < self.end:
            blank = _INDENT.match(self.text, self.at, self.end)
            assert blank is not None, "nothing is an indentation too"
            self.at = blank.end()
            sign = self.text[self.at : self.at + 1]
            if sign == "#":
                line_end = self.text.find("\n", self.at)
                line_end = self.end if line_end < 0 else line_end
                self.comments.append((self.at, line_end))
                self.at = line_end + 1
            elif sign == "\n":
                self.at += 1
            elif sign:
                self.lay_out(re.sub(r"[\f\r]", "", blank[0]))
                return True
        return False

    def lay_out(self, blank: str) -> None:
        """Open a block, or close those that end before a line indented by `blank`."""
        indents, at, end = self.indents, self.at, self.last_end()
        if blank == indents[-1]:
            return
        if blank.startswith(indents[-1]):
            if len(indents) > MAX_DEPTH:
                raise TokenError("deep", at, at + 1)
            indents.append(blank)
            self.found.append(("INDENT", at, at, None))
            return
        known = [*indents]
        while indents and len(indents[-1]) > len(blank):
            indents.pop()
            self.found.append(("DEDENT", end, end, None))
        if not indents or indents[-1] != blank:
            mixed = len({char for indent in (blank, *known) for char in indent}) > 1
            raise TokenError("tabs" if mixed else "unindent", at - len(blank), at)

    def scan(self, *, stops_at_line: bool) -> None:
        """Read tokens to the end of the statement's line, or of the text."""
        text, found, match, end = self.text, self.found, _TOKEN.match, self.end
        first = len(found)
        while True:
            token = match(text, self.at, end)
            assert token is not None, "every character is some token"
            kind = token.lastgroup or ""
            start, self.at = token.span(kind)
            if kind == "word":
                word = token[kind]
                if word in KEYWORDS or word in RESERVED:
                    found.append((word, start, self.at, None))
                elif text[self.at : self.at + 1] in ("'", '"') and self.at < end:
                    raise TokenError("prefix", start, self.at)
                else:
                    found.append(("NAME", start, self.at, word))
            elif kind == "sign":
                found.append((token[kind], start, self.at, None))
            elif kind in ("text", "number"):
                found.append(self.literal(token[kind], start, is_number=kind == "number"))
            elif kind == "open":
                if len(self.brackets) >= MAX_DEPTH:
                    raise TokenError("deep", start, self.at)
                self.brackets.append((token[kind], start))
                found.append((token[kind], start, self.at, None))
            elif kind == "close":
                self.close(token[kind], start)
                found.append((token[kind], start, self.at, None))
            elif kind == "line":
                if stops_at_line and not self.brackets:
                    break
            elif kind == "comment":
                self.comments.append((start, self.at))
            elif kind == "end":
                break
            else:
                raise TokenError("open text" if kind == "open_text" else "character", start, self.at)
            if len(found) > MAX_TOKENS:
                raise TokenError("long", start, self.at)
        if self.brackets:
            raise TokenError("open bracket", self.last_end(), self.last_end(), other=self.brackets[-1][1])
        if stops_at_line and len(found) > first:
            found.append(("NEWLINE", found[-1][2], found[-1][2], None))

    def literal(self, text: str, start: int, *, is_number: bool) -> Token:
        try:
            value = decode_number(text) if is_number else decode_text(text)
        except LiteralError as error:
            raise TokenError(error.kind, start + error.start, start + error.end) from None
        kind = _KINDS[type(value)]
        return kind, start, self.at, value

    def close(self, bracket: str, at: int) -> None:
        if not self.brackets:
            raise TokenError("stray bracket", at, at + 1)
        opened, where = self.brackets.pop()
        if opened != _PAIRS[bracket]:
            raise TokenError("other bracket", at, at + 1, other=where)
