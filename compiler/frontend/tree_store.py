"""Trees kept between runs: of TOML texts, and of what functions of the standard library return.

Both are made from texts alone, and the language is hermetic: equal texts give equal trees.  A tree is kept under the
path of its file, so that a spec which changes takes no more room, with the digest of the text; the tree of a call with
those of all texts that were loaded on the way.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import cache

from compiler.diagnostics.annotations import Any, cast
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark import tree_cache
from compiler.frontend.trees import Tree, Trees
from compiler.ir.digest import sha256

_FORMAT = 1
_MADE_BY = ("starlark", "universe")


class TreeStore:
    """Trees in a folder; without one nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def toml(self, path: Path, text: str) -> Tree | None:
        """Return the tree of a TOML file, if it is kept and the text is as it was."""
        kept = None if self.folder is None else tree_cache.read(self.folder, _key("toml", str(path)))
        if kept is None:
            return None
        digest, tree = cast("tuple[bytes, Tree]", kept)
        return tree if digest == _digest(text) else None

    def keep_toml(self, path: Path, text: str, tree: Tree) -> None:
        """Keep the tree of a TOML file; one that holds a date is not kept."""
        if self.folder is not None:
            _write(self.folder, _key("toml", str(path)), (_digest(text), tree))

    def called(self, path: Path, symbol: str, read: Callable[[str], SourceFile | None]) -> Trees | None:
        """Return what a call gave, if it is kept, and the interpreter and all texts are as they were.

        Args:
            read: returns the text of a file of the standard library by its path there.
        """
        kept = None if self.folder is None else tree_cache.read(self.folder, _key("call", symbol, str(path)))
        if kept is None:
            return None
        by, texts, root = cast("tuple[bytes, tuple[tuple[str, bytes], ...], Tree]", kept)
        if by != _interpreter():
            return None
        files: list[SourceFile] = []
        for name, digest in texts:
            source = read(name)
            if source is None or _digest(source.text) != digest:
                return None
            files.append(source)
        return Trees(tuple(files), root)

    def keep_called(self, path: Path, symbol: str, trees: Trees, paths: Mapping[SourceFile, str]) -> None:
        """Keep what a call gave, with the path in the standard library of each text."""
        if self.folder is not None:
            texts = tuple((paths[source], _digest(source.text)) for source in trees.files)
            _write(self.folder, _key("call", symbol, str(path)), (_interpreter(), texts, trees.root))


def _write(folder: Path, key: str, value: tuple[Any, ...]) -> None:
    try:
        tree_cache.write(folder, key, value)
    except ValueError:  # a date has no form that could be kept
        return


def _key(*parts: str) -> str:
    digest = sha256(f"{_FORMAT} {sys.implementation.cache_tag}".encode())
    for part in parts:
        data = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(data) + data)
    return digest.hexdigest()


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


@cache
def _interpreter() -> bytes:
    """What stands for the interpreter as it is: size and time of each of its files, as Python tells its own apart."""
    found: list[str] = []
    for folder in _MADE_BY:
        with os.scandir(os.path.join(os.path.dirname(__file__), folder)) as files:
            for file in files:
                if file.name.endswith((".py", ".lark")):
                    status = file.stat()
                    found.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return _digest("\n".join(sorted(found)))
