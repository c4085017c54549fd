"""A config.json as it is read: its text, what it says, and where; whatever is wrong with the file is reported here."""

from __future__ import annotations

import json
import posixpath
import re

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.value import Leaf
from compiler.ir.subject import toml_literal
from compiler.lowering.reader import Reader

_LARGEST_CONFIG = 1 << 20


class Config(NamedTuple):
    """A config.json: its text, and what it says."""

    source: SourceFile
    said: dict[str, object]

    def span(self, key: str) -> Span:
        """Where the value of a key stands, or the beginning of the text; that of a part about language comes first."""
        text, inner = self.source.text, self.said.get("text_config")
        start = text.find('"text_config"') if isinstance(inner, dict) and key in inner else 0
        pattern = re.compile(rf'"{re.escape(key)}"\s*:\s*([^,\n}}]+)')
        found = pattern.search(text, max(start, 0))
        return Span(self.source, *found.span(1)) if found else Span(self.source, 0, min(1, len(text)))


def read_config(directory: Path, name: str, leaf: Leaf, reader: Reader, named_by: str = "model.hf") -> Config | None:
    """Return the config.json of a directory, or None where it was reported.

    Args:
        name: what messages call the file.
        named_by: the field that names the directory.
    """
    named = Label(leaf.span, "named here", True)
    try:
        if not directory.is_dir():
            near = nearest_names(directory.name, _folders(directory.parent))
            names = [posixpath.join(posixpath.dirname(str(leaf.value)), n) for n in near]
            sets = tuple((named_by, toml_literal(name)) for name in names) if len(names) == 1 else ()
            helps = tuple(Help(f'did you mean "{name}"?', sets) for name in names)
            return report_unreadable(reader, named_by, f"there is no model directory {leaf.value}", (named,), helps)
        path = directory / "config.json"
        if not path.is_file():
            helps = (Help("a Hugging Face model directory has one"),)
            return report_unreadable(reader, named_by, f"{leaf.value} has no config.json", (named,), helps)
        if path.stat().st_size > _LARGEST_CONFIG:
            return report_unreadable(reader, named_by, f"{name} is larger than 1 MiB", (named,))
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        return report_unreadable(reader, named_by, f"{name} cannot be read: {why.lower()}", (named,))
    source = SourceFile(name, text)
    named = named._replace(is_primary=False)
    try:
        said = json.loads(text)
    except json.JSONDecodeError as fault:
        at = Span(source, fault.pos, min(fault.pos + 1, len(text)))
        why = fault.msg.lower().replace("expecting", "expected")
        return report_unreadable(reader, named_by, f"{name} is not JSON", (named, Label(at, why, True)))
    except (ValueError, RecursionError):
        at = Span(source, 0, min(1, len(text)))
        return report_unreadable(
            reader, named_by, f"{name} is not JSON", (named, Label(at, "too deep, or a number too long", True))
        )
    if not isinstance(said, dict):
        at = Span(source, 0, min(1, len(text)))
        return report_unreadable(reader, named_by, f"{name} is not an object", (named, Label(at, "expected {", True)))
    return Config(source, said)


def report_unreadable(
    reader: Reader, path: str, message: str, labels: tuple[Label, ...], helps: tuple[Help, ...] = ()
) -> None:
    """Report RLC0212 at the field that names the directory."""
    reader.report(path, Diagnostic("RLC0212", message, labels, helps))


def _folders(directory: Path) -> list[str]:
    try:
        return [p.name for p in directory.iterdir() if p.is_dir()]
    except OSError:
        return []
