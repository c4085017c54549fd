"""Paths of a spec as the plan has them: relative to the experiment's root.

A path is relative to the file that names it and may not leave that file's root; `@lab//data:math.jsonl` begins at a
further one.  Files of further roots are written by the way to their root that `rlc.toml` gives, so that a plan means
the same wherever the experiment and its roots lie side by side.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Callable

from compiler.diagnostics.diagnostic import Diagnostic, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.loader import Loaded
from compiler.frontend.roots import Place, find_further, is_further, leaves_root, owner_of
from compiler.frontend.value import Leaf


def path_resolver(loaded: Loaded) -> Callable[[Leaf], str | Diagnostic]:
    """Return what turns a path of a spec into one relative to the experiment's root."""

    def resolve(leaf: Leaf) -> str | Diagnostic:
        text = str(leaf.value)
        if not text or "\0" in text:
            why = "is empty" if not text else "holds the character U+0000"
            return Diagnostic("RLC0011", f"the path {why}", (Label(leaf.span, "no file has this path", True),))
        if is_further(text):
            return _of_label(text, leaf.span, loaded)
        folder = loaded.folder_of(leaf.span.file)
        joined = posixpath.normpath(posixpath.join(folder.as_posix(), text))
        owner = owner_of(folder, loaded.roots) if loaded.roots else None
        root = posixpath.normpath(loaded.root.as_posix()) if owner is None else owner.folder.as_posix()
        relative = posixpath.relpath(joined, root) if posixpath.isabs(joined) else joined
        if relative == ".." or relative.startswith("../"):
            path = Path(os.path.realpath(joined))
            return leaves_root(text, leaf.span, path=path, folder=folder, roots=loaded.roots)
        return relative if owner is None else posixpath.normpath(posixpath.join(owner.path, relative))

    return resolve


def _of_label(text: str, at: Span, loaded: Loaded) -> str | Diagnostic:
    reporter = Reporter()
    named_in = Place(loaded.root, loaded.name, loaded.root, loaded.roots)
    place = find_further(text, at, named_in=named_in, reporter=reporter)
    owner = None if place is None else owner_of(place.path, loaded.roots)
    if place is None or owner is None:
        return reporter.diagnostics[0]
    return posixpath.join(owner.path, place.path.relative_to(owner.folder).as_posix())
