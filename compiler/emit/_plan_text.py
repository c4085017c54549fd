"""Lines of a plan page: values with marks that say who wrote them, rows that wrap, and boxes.

While a page is put together, a mark is one control character behind its value: text of a spec can hold none, since
`said` replaces them.  `Sheet.text` turns marks into what a person sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.printable import display_width, printable
from compiler.ir.openness import Off
from compiler.ir.paths import read
from compiler.ir.provenance import OriginKind
from compiler.ir.subject import Subject

WIDTH = 100
LABELS = 15
MARGIN = 2

_RESET, _BOLD, _SECTION, _FAINT = "\x1b[0m", "\x1b[1m", "\x1b[1;36m", "\x1b[2m"
_NO_BREAK = "\x06"
_SHORT = 44
_BOX = "\u250c\u2500\u2510\u2502\u2514\u2518"
_ASCII_BOX = "+-+|++"
_BARS, _ASCII_BARS = "\u2588\u2591", "#."


class Mark(NamedTuple):
    """How the origin of a value is shown: `code` while the page is put together, `sign` on it."""

    code: str
    sign: str
    meaning: str


_MARKS: dict[OriginKind, Mark] = {
    "recipe": Mark("\x01", "~", "recipe or model file"),
    "default": Mark("\x02", "'", "default"),
    "derived": Mark("\x03", "*", "derived"),
    "inherited": Mark("\x03", "*", "derived"),
    "assumed": Mark("\x04", "?", "assumed"),
    "override": Mark("\x05", "!", "--set"),
    "shrunk": Mark("\x07", "%", "--shrink"),
}


class Values:
    """The fields of a record as a person reads them; with a subject, each with the mark of its origin.

    `prefix` is the path that leads to the record, with a dot behind it.
    """

    def __init__(self, record: object, subject: Subject | None, prefix: str = "") -> None:
        self.record = record
        self.subject = subject
        self.prefix = prefix

    def below(self, path: str) -> Values:
        """Return the fields below a path, with paths relative to it."""
        return Values(read(self.record, path), self.subject, f"{self.prefix}{path}.")

    def __call__(self, path: str, text: str | None = None) -> str:
        """Return a field, or the text that stands for it, with its mark."""
        return (shown(self.raw(path)) if text is None else text) + self.mark(path)

    def raw(self, path: str) -> object:
        """Return the value of a field.  Raises: KeyError if there is no such field."""
        return read(self.record, path)

    def has(self, path: str) -> bool:
        """Whether the plan has the field."""
        try:
            self.raw(path)
        except KeyError:
            return False
        return True

    def is_on(self, path: str) -> bool:
        """Whether the plan has the field and it is not switched off."""
        return self.has(path) and not isinstance(self.raw(path), Off)

    def count(self, path: str, unit: str) -> str:
        """Return a number with its unit, in the singular where it is 1: the unit is given in the plural."""
        return f"{self(path)} {unit[:-1] if self.raw(path) == 1 else unit}"

    def mark(self, path: str) -> str:
        """Return the mark of a field: nothing for what the spec says."""
        origin = self.subject.origins.get(self.prefix + path) if self.subject is not None else None
        return _MARKS[origin.kind].code if origin is not None and origin.kind in _MARKS else ""


def shown(value: object) -> str:
    """Return a value as a person writes it in a sentence."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{int(value):,}" if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, tuple):
        return " ".join(shown(item) for item in value) or "none"
    return said(str(value))


def said(text: str) -> str:
    """Return text of a spec with nothing in it that a terminal obeys; line breaks become visible."""
    return printable(text.replace("\n", "\\n").replace("\t", "\\t"), ascii_only=False)


def counted(number: object, unit: str) -> str:
    """Return a number with its unit, given in the plural."""
    return f"{shown(number)} {unit[:-1] if number == 1 else unit}".rstrip()


def byte_size(number: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    size = float(number)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{number:,} B" if unit == "B" else f"{size:,.1f} {unit}"
        size /= 1024
    return f"{size:,.1f} TiB"


def sentence(*parts: str) -> str:
    """Join what there is to say with commas; short parts are not broken across lines."""
    return ", ".join(part if len(part) > _SHORT else part.replace(" ", _NO_BREAK) for part in parts if part)


def cut(text: str, columns: int) -> str:
    """Return a text of at most so many columns, with dots for what is left out."""
    if text_width(text) <= columns:
        return text
    while text_width(text) > columns - 3:
        text = text[:-1]
    return f"{text}..."


def padded(text: str, columns: int) -> str:
    """Return a text filled up with blanks to so many columns."""
    return text + " " * (columns - text_width(text))


def boxed(title: str, lines: Sequence[str]) -> list[str]:
    """Return lines in a box with a title in its upper edge, drawn with the characters of Unicode."""
    inside = max(text_width(title) + 2, *(text_width(line) for line in lines))
    left, bar, right, side, low_left, low_right = _BOX
    top = f"{left}{bar} {title} {bar * (inside - text_width(title) - 1)}{right}"
    body = [f"{side} {padded(line, inside)} {side}" for line in lines]
    return [top, *body, f"{low_left}{bar * (inside + 2)}{low_right}"]


def text_width(text: str) -> int:
    """Return the terminal columns of a text with marks."""
    return len(text) if text.isascii() else sum(display_width(c) if c > "~" else 1 for c in text)


class Sheet:
    """The lines of a page as they come."""

    def __init__(self, *, ascii_only: bool, color: bool) -> None:
        self.ascii_only = ascii_only
        self.color = color
        self.lines: list[str] = []

    def title(self, left: str, right: str) -> None:
        """Add the first line: what it is, and its identity at the right edge where that fits."""
        gap = max(2, WIDTH - text_width(left) - text_width(right))
        if text_width(left) + gap + text_width(right) <= WIDTH:
            self.lines.append(self._painted(left, _BOLD) + " " * gap + right)
            return
        self.lines += [self._painted(line, _BOLD) for line in wrapped(left, WIDTH)] + [right]

    def section(self, name: str) -> None:
        """Begin a section."""
        self.lines += ["", *(self._painted(line, _SECTION) for line in wrapped(name, WIDTH))]

    def row(self, label: str, *lines: str) -> None:
        """Add a labelled row; each line begins anew and wraps at the width of the page."""
        room = WIDTH - MARGIN - LABELS
        pieces = [piece for line in lines if line for piece in wrapped(line, room)]
        for at, piece in enumerate(pieces):
            head = f"{label if at == 0 else '':<{LABELS}}"
            self.lines.append(" " * MARGIN + self._painted(head, _FAINT) + piece)

    def drawing(self, lines: Iterable[str]) -> None:
        """Add lines as they are."""
        self.lines += [" " * MARGIN + line for line in lines]

    def legend(self) -> None:
        """Say what the marks on the page mean."""
        page = "".join(self.lines)
        used = [mark for mark in dict.fromkeys(_MARKS.values()) if mark.code in page]
        self.lines.append("")
        if used:
            meanings = [f"{mark.code} {mark.meaning}" for mark in used]
            self.lines.append(self._painted("no mark: the spec says so   " + "   ".join(meanings), _FAINT))

    def text(self) -> str:
        """Return the page."""
        signs = str.maketrans({mark.code: self._painted(mark.sign, _FAINT) for mark in _MARKS.values()})
        signs[ord(_NO_BREAK)] = " "
        lines = [line.rstrip().translate(signs) for line in self.lines]
        if self.ascii_only:
            box = str.maketrans(_BOX + _BARS, _ASCII_BOX + _ASCII_BARS)
            lines = [self._in_ascii(line.translate(box)) for line in lines]
        return "\n".join(lines).rstrip("\n") + "\n"

    def _in_ascii(self, line: str) -> str:
        escape = "\x1b"
        return escape.join(printable(part, ascii_only=True) for part in line.split(escape))

    def _painted(self, text: str, color: str) -> str:
        return f"{color}{text}{_RESET}" if self.color and text.strip() else text


def wrapped(text: str, room: int) -> list[str]:
    """Return a text as lines of at most so many columns, cut at blanks, or within a word that is longer."""
    lines: list[str] = []
    line = ""
    for word in text.split(" "):
        if line and text_width(line) + 1 + text_width(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line or not word else word
        while text_width(line) > room:
            cut = room
            while text_width(line[:cut]) > room:
                cut -= 1
            lines.append(line[:cut])
            line = line[cut:]
    return [*lines, line]
