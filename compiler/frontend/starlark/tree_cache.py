"""Trees and tables kept on disk between runs, by the content that they were made of.

Starlark is hermetic, so equal text gives an equal tree.  A file is the digest of its payload and the payload, in the
format of compiled Python; what does not fit its digest is made again.  Nothing here is an error to anybody: a folder
that cannot be written is a cache that stays empty.
"""

from __future__ import annotations

import marshal
import os
import sys
from functools import cache

from compiler.diagnostics.annotations import Any
from compiler.diagnostics.file_path import Path
from compiler.ir.digest import sha256

_DIGEST_BYTES = 32
_MADE_BY = (
    "grammar.lark",
    "tokens.py",
    "literals.py",
    "tables.py",
    "nodes.py",
    "syntax.py",
    "bindings.py",
    "signatures.py",
    "resolve.py",
)


def key_of(*parts: str) -> str:
    """Return the name under which something made of these texts is kept."""
    digest = sha256(_makers())
    for part in parts:
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(encoded))
        digest.update(encoded)
    return digest.hexdigest()


def read(folder: Path | None, key: str) -> tuple[Any, ...] | None:
    """Return what is kept under a key, or None."""
    if folder is None:
        return None
    try:
        data = _path(folder, key).read_bytes()
        payload = data[_DIGEST_BYTES:]
        found = marshal.loads(payload) if sha256(payload).digest() == data[:_DIGEST_BYTES] else None
    except (OSError, ValueError, EOFError, TypeError):
        return None
    return found if isinstance(found, tuple) else None


def write(folder: Path | None, key: str, value: tuple[Any, ...]) -> None:
    """Keep a tuple made of tuples, lists, dicts and literals under a key, if the folder lets us."""
    if folder is None:
        return
    payload = marshal.dumps(value)
    path = _path(folder, key)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside.write_bytes(sha256(payload).digest() + payload)
        beside.replace(path)
    except OSError:
        return


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key[2:]}.tree"


@cache
def _makers() -> bytes:
    """What decides how a text becomes a tree: this Python, and the sources of the front half."""
    here = Path(__file__).parent
    version = repr((sys.version_info, sys.implementation.cache_tag)).encode()
    return version + b"".join(sha256((here / name).read_bytes()).digest() for name in _MADE_BY)
