"""Paths of files, without `pathlib`.

Loading `pathlib` brings `urllib.parse`, `ipaddress` and `re` along, and takes as long as lowering a spec.  To the type
checker this Path is the library's; at run time it answers what a plan asks of a path with `os.path`, and hands every
other question to the library, which is loaded then.  Both are equal where their texts are, and have the same hash.
"""

from __future__ import annotations

import os
import sys

from compiler.diagnostics.annotations import TYPE_CHECKING

if TYPE_CHECKING or os.name != "posix":
    from pathlib import Path
else:

    class Path:
        """The place of a file: names between slashes, of which `.` and the empty one say nothing."""

        __slots__ = ("_text",)

        def __init__(self, *parts: str | os.PathLike[str]) -> None:
            text = os.path.join("", *parts)
            root = "/" if text.startswith("/") else ""
            if text.startswith("//") and not text.startswith("///"):
                root = "//"  # which POSIX leaves to the system
            self._text = root + "/".join(name for name in text.split("/") if name not in ("", ".")) or "."

        def __fspath__(self) -> str:
            return self._text

        __str__ = as_posix = __fspath__

        def __repr__(self) -> str:
            return f"Path({self._text!r})"

        def __eq__(self, other: object) -> bool:
            if isinstance(other, Path):
                return self._text == other._text
            return _is_librarys(other) and self._text == str(other)

        def __hash__(self) -> int:
            return hash(self._text if sys.version_info >= (3, 12) else _names(self._text))

        def __lt__(self, other: Path) -> bool:
            return _names(self._text) < _names(str(other))

        def __truediv__(self, other: str | os.PathLike[str]) -> Path:
            return Path(self._text, other)

        def __getattr__(self, name: str) -> object:
            if name.startswith("__"):
                raise AttributeError(name)
            import pathlib

            return getattr(pathlib.Path(self._text), name)

        @property
        def name(self) -> str:
            return "" if self._text == "." else os.path.basename(self._text)

        @property
        def suffix(self) -> str:
            stem, point, end = self.name.rpartition(".")
            return point + end if stem and end else ""

        @property
        def stem(self) -> str:
            return self.name.removesuffix(self.suffix)

        @property
        def parent(self) -> Path:
            return Path(os.path.dirname(self._text))

        @property
        def parents(self) -> tuple[Path, ...]:
            parent = self.parent
            return () if parent == self else (parent, *parent.parents)

        def is_relative_to(self, other: str | os.PathLike[str]) -> bool:
            folder, own = _names(str(Path(other))), _names(self._text)
            return own[: len(folder)] == folder and os.path.isabs(self) == os.path.isabs(other)

        def is_file(self) -> bool:
            return os.path.isfile(self._text)

        def stat(self) -> os.stat_result:
            return os.stat(self._text)

        def open(self, *how: str, **more: str | None) -> object:
            return open(self._text, *how, **more)  # what it returns is the caller's to close

        def read_bytes(self) -> bytes:
            with open(self._text, "rb") as file:
                return file.read()

        def read_text(self, encoding: str) -> str:
            with open(self._text, encoding=encoding) as file:
                return file.read()

    def _names(text: str) -> tuple[str, ...]:
        """The root, if there is one, and the names below it."""
        rest = text.lstrip("/")
        root = text[: len(text) - len(rest)]
        names = tuple(rest.split("/")) if rest not in ("", ".") else ()
        return (root, *names) if root else names

    def _is_librarys(value: object) -> bool:
        library = sys.modules.get("pathlib")
        return library is not None and isinstance(value, library.PurePath)
