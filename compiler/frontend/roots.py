"""Where names in a spec lead: labels of the standard library, and paths below the root of an experiment.

`//recipes:grpo` is a file of rlc's own standard library.  Every other path is relative to the file that names it and
may not leave the root: the nearest ancestor folder of the spec that holds an `rlc.toml`, else the spec's own folder.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.read import MAX_BYTES, read_source
from compiler.frontend.toml import parse
from compiler.frontend.value import SPEC, Leaf

MARKER = "rlc.toml"

_LABEL = re.compile(r"//([a-z_]+):([A-Za-z0-9_-]+)")


class Place(NamedTuple):
    """A file that may be read: its real path, the name that messages use, and the folder it may not leave."""

    path: Path
    name: str
    root: Path


def find_root(spec: Path) -> Path:
    """Return the real path of the folder that the files of a spec may not leave."""
    folder = Path(os.path.realpath(spec)).parent
    for candidate in (folder, *folder.parents):
        if os.path.isfile(candidate / MARKER):
            return candidate
    return folder


def check_marker(spec: Place, reporter: Reporter) -> None:
    """Report RLC0014 for an `rlc.toml` that says more than `rlc = 1`; an empty one is fine."""
    path = spec.root / MARKER
    name = os.path.normpath(os.path.join(os.path.dirname(spec.name), os.path.relpath(path, spec.path.parent)))
    try:
        if not path.is_file() or (path.stat().st_size <= MAX_BYTES and not path.read_bytes().strip()):
            return
    except OSError:
        pass  # read_source says what is wrong
    source = read_source(path, name, named_at=None, reporter=reporter)
    table = None if source is None else parse(source, SPEC, reporter)
    if table is None:
        return
    for key, entry in table.entries.items():
        is_version = isinstance(entry.node, Leaf) and entry.node.value == 1 and entry.node.value is not True
        if key != "rlc" or not is_version:
            text = "the only version is 1" if key == "rlc" else "unknown here"
            where = entry.node.span if key == "rlc" else entry.key_span
            advice = Help("leave the file empty, or write rlc = 1: it marks the root of the experiments below it")
            label = Label(where, text, is_primary=True)
            reporter.add(Diagnostic("RLC0014", f"{MARKER} holds nothing but rlc = 1", (label,), (advice,)))


def find_label(text: str, at: Span, *, kind: str, stdlib: Path, reporter: Reporter) -> Place | None:
    """Return the file of a label of one kind (`recipes`, `models`), or None after reporting RLC0010."""
    found = _LABEL.fullmatch(text)
    if found is None or found[1] != kind:
        label = Label(at, f"expected //{kind}:NAME", is_primary=True)
        advice = _label_advice(text.rpartition(":")[2].rpartition("/")[2], kind, stdlib)
        reporter.add(Diagnostic("RLC0010", f"`{text}` is not the label of a {kind[:-1]}", (label,), advice))
        return None
    root = Path(os.path.realpath(stdlib))
    path = root / kind / f"{found[2]}.toml"
    if not os.path.isfile(path):
        if os.path.isfile(path.with_suffix(".star")):
            path = path.with_suffix(".star")
        else:
            label = Label(at, f"the standard library has no {kind[:-1]} of this name", is_primary=True)
            advice = _label_advice(found[2], kind, stdlib)
            reporter.add(Diagnostic("RLC0010", f"there is no {text}", (label,), advice))
            return None
    return Place(path, f"//{kind}/{path.name}", root)


def find_file(text: str, at: Span, *, named_in: Place, reporter: Reporter) -> Place | None:
    """Return the file of a path relative to the file that names it, or None after reporting RLC0011."""
    path = Path(os.path.realpath(named_in.path.parent / text))
    if os.path.isabs(text) or not path.is_relative_to(named_in.root):
        why, way_out = "leads out of it", f"an empty {MARKER} in a folder above makes that folder the root"
        if os.path.isabs(text):
            why, way_out = "an absolute path", "write the path relative to the file that names it"
        message = f"`{text}` leaves the root of the experiment"
        reporter.add(Diagnostic("RLC0011", message, (Label(at, why, is_primary=True),), (Help(way_out),)))
        return None
    name = os.path.normpath(os.path.join(os.path.dirname(named_in.name), text))
    return Place(path, name, named_in.root)


def _label_advice(name: str, kind: str, stdlib: Path) -> tuple[Help, ...]:
    try:
        files = os.listdir(stdlib / kind)
    except OSError:
        return ()
    names = sorted({n.rpartition(".")[0] for n in files if n.endswith((".toml", ".star"))})
    near = nearest_names(name, names) or (names if len(names) <= 3 else [])
    if near:
        return tuple(Help(f'write "//{kind}:{n}"') for n in near)
    return (Help(f"the {kind} are " + ", ".join(names)),)
