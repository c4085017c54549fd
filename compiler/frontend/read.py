"""A file of a spec, read: bytes to a SourceFile, with a code for each way in which that fails.

Only the bytes are judged here; what they say is for `toml` and `starlark`.
"""

from __future__ import annotations

import os
import stat

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.source_text import source_file

MAX_BYTES = 2**20
SUFFIXES = (".toml", ".star")

_BOM = b"\xef\xbb\xbf"


def read_source(path: Path, name: str, *, named_at: Span | None, reporter: Reporter) -> SourceFile | None:
    """Return the text of a .toml or .star file, or None after reporting.

    Args:
        name: what the file is called in messages.
        named_at: where a spec names it; None for the file of the command line.

    Reports RLC0001 (missing), RLC0002 (a directory), RLC0003 (unreadable), RLC0004 (empty), RLC0005 (binary),
    RLC0006 (not UTF-8), RLC0007 (neither .toml nor .star), RLC0008 (too large).
    """
    labels = () if named_at is None else (Label(named_at, "named here", is_primary=True),)
    data = _data(path, name, labels)
    if isinstance(data, Diagnostic):
        reporter.add(data)
        return None
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        reporter.add(_bad_utf8(name, data, error.start))
        return None
    return source_file(name, text)


def missing_file(path: Path, name: str, labels: tuple[Label, ...]) -> Diagnostic:
    """Return RLC0001 for a file that is not there, with the nearest names of its folder."""
    folder = path.parent
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if e.name.endswith(SUFFIXES))
    except OSError:
        where = Help(f"there is no folder {os.path.dirname(name) or '.'}")
        return Diagnostic("RLC0001", f"there is no file {name}", labels, (where,))
    same_stem = [n for n in names if n.rpartition(".")[0] == path.name]
    near = dict.fromkeys(same_stem + nearest_names(path.name, names))
    known = [os.path.join(os.path.dirname(name), n) for n in near]
    shown = [_as_written(n, labels) for n in known if not labels or n != labels[0].span.file.name][:3]
    meant = f'"{shown[0]}"' if labels and len(shown) == 1 else ""
    advice = (Help("did you mean " + " or ".join(shown) + "?", replaced=meant),) if shown else ()
    return Diagnostic("RLC0001", f"there is no file {name}", labels, advice)


def _as_written(name: str, labels: tuple[Label, ...]) -> str:
    """A file as the spec that names another one would name it; on the command line it has its own name."""
    return os.path.relpath(name, os.path.dirname(labels[0].span.file.name) or ".") if labels else name


def _data(path: Path, name: str, labels: tuple[Label, ...]) -> bytes | Diagnostic:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            return _is_directory(path, name, labels)
        if not stat.S_ISREG(status.st_mode):
            return Diagnostic("RLC0003", f"{name} is not a regular file", labels)
        if path.suffix not in SUFFIXES:
            advice = (Help("only files that end in .toml or .star are read"),)
            return Diagnostic("RLC0007", f"{name} is neither TOML nor Starlark by its name", labels, advice)
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return missing_file(path, name, labels)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return Diagnostic("RLC0003", f"{name} cannot be read: {reason.lower()}", labels)
    if len(data) > MAX_BYTES:
        size = max(status.st_size, len(data))
        return Diagnostic("RLC0008", f"{name} holds {size:,} bytes; a spec holds at most {MAX_BYTES:,}", labels)
    if b"\0" in data:
        at = data.index(b"\0")
        return Diagnostic("RLC0005", f"{name} is not text: byte {at:,} is 0", labels)
    if not data.removeprefix(_BOM).strip():
        ways = (Help("begin one with rlc new NAME, and copy it here"),)
        return Diagnostic("RLC0004", f"{name} is empty", labels, ways)
    return data


def _is_directory(path: Path, name: str, labels: tuple[Label, ...]) -> Diagnostic:
    try:
        inside = sorted(n for n in os.listdir(path) if n.endswith(SUFFIXES) and n != "rlc.toml")
    except OSError:
        return Diagnostic("RLC0002", f"{name} is a directory", labels)
    advice = tuple(Help(f"name a file: {_as_written(os.path.join(name, n), labels)}") for n in inside[:3])
    return Diagnostic("RLC0002", f"{name} is a directory", labels, advice)


def _bad_utf8(name: str, data: bytes, at: int) -> Diagnostic:
    source = source_file(name, data.decode("utf-8", "replace"))
    offset = len(source_file("", data[:at].decode("utf-8")).text)
    span = Span(source, offset, offset + 1)
    label = Label(span, f"byte {at:,} is 0x{data[at]:02x}", is_primary=True)
    advice = (Help("save the file in the encoding UTF-8"),)
    return Diagnostic("RLC0006", f"{name} is not UTF-8: byte {at:,}, on line {span.line}", (label,), advice)
