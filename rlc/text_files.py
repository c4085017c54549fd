"""Text files of the user, rewritten: all or nothing, with the line breaks and the permissions that they had."""

from __future__ import annotations

import os
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError

_CRLF = b"\r\n"


def in_bytes(text: str, like: bytes) -> bytes:
    """Return a text as a file has it whose first line break is that of another one; a byte-order mark is left out."""
    first = like.find(b"\n")
    is_crlf = first > 0 and like[first - 1 : first + 1] == _CRLF
    return (text.replace("\n", "\r\n") if is_crlf else text).encode()


def rewrite(path: Path, data: bytes) -> None:
    """Give a file other content.  Raises: SpecError RLC0022 if it cannot be written."""
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        try:
            mode = target.stat().st_mode
            temporary.write_bytes(data)
            temporary.chmod(mode)
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as fault:
        raise _not_written(path, fault) from fault


def create(path: Path, text: str) -> None:
    """Write a file that is not there yet.  Raises: SpecError RLC0030 if it is, RLC0022 if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError as fault:
        way = Help("give it another name, or remove that file first")
        raise SpecError(Diagnostic("RLC0030", f"{path} is there already", help=(way,))) from fault
    except OSError as fault:
        raise _not_written(path, fault) from fault


def _not_written(path: Path, fault: OSError) -> SpecError:
    way = Help("the folder, and the file in it, must be writable")
    return SpecError(Diagnostic("RLC0022", f"{path} cannot be written: {fault.strerror}", help=(way,)))
