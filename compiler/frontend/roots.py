"""Where names in a spec lead: labels of the standard library, and paths below the root of an experiment.

`//recipes:grpo` is a file of rlc's own standard library.  Every other path is relative to the file that names it and
may not leave the root: the nearest ancestor folder of the spec that holds an `rlc.toml`, else the spec's own folder.
"""

from __future__ import annotations

import os

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.read import MAX_BYTES, SUFFIXES, read_source
from compiler.frontend.value import SPEC, Leaf, List, Node

MARKER = "rlc.toml"
POLICY = "policy.star"

_MOST_NAMES = 8

# Compiled where they are needed, which few plans come to.
_LIBRARY_FILE = r"//(recipes|models):([A-Za-z0-9_-]+)\.star"
_FUNCTION = r"(?m)^def ([A-Za-z][A-Za-z0-9_]*)\(\*\*"


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


def has_policy(root: Path) -> bool:
    """Whether a root may have a policy of its own: a file of that name, or an `rlc.toml` that speaks of one."""
    if os.path.isfile(root / POLICY):
        return True
    try:
        return b"policy" in (root / MARKER).read_bytes()
    except OSError:
        return False


def check_marker(spec: Place, reporter: Reporter) -> None:
    """Report RLC0014 for an `rlc.toml` that says more than `rlc = 1` and `policy`; an empty one is fine."""
    path = spec.root / MARKER
    name = os.path.normpath(os.path.join(os.path.dirname(spec.name), os.path.relpath(path, spec.path.parent)))
    try:
        if not path.is_file() or (path.stat().st_size <= MAX_BYTES and not path.read_bytes().strip()):
            return
    except OSError:
        pass  # read_source says what is wrong
    from compiler.frontend.toml import parse

    source = read_source(path, name, named_at=None, reporter=reporter)
    table = None if source is None else parse(source, SPEC, reporter)
    if table is None:
        return
    for key, entry in table.entries.items():
        is_version = isinstance(entry.node, Leaf) and entry.node.value == 1 and entry.node.value is not True
        if key == "policy" and _are_texts(entry.node):
            continue
        if key != "rlc" or not is_version:
            texts = {"rlc": "the only version is 1", "policy": 'expected "FILE.star", or a list of them'}
            text = texts.get(key, "unknown here")
            where = entry.node.span if key in texts else entry.key_span
            advice = Help('write rlc = 1, and policy = "FILE.star" for what every experiment below must satisfy')
            label = Label(where, text, is_primary=True)
            reporter.add(
                Diagnostic("RLC0014", f"{MARKER} holds rlc = 1 and policy, and nothing else", (label,), (advice,))
            )


def _are_texts(node: Node) -> bool:
    items = node.items if isinstance(node, List) else (node,)
    return all(isinstance(item, Leaf) and isinstance(item.value, str) for item in items)


def find_label(text: str, at: Span, *, kind: str, stdlib: Path, reporter: Reporter) -> Place | None:
    """Return the file of a label of one kind (`recipes`), or None after reporting RLC0010 or RLC0151."""
    name = label_name(text, at, kind=kind, stdlib=stdlib, reporter=reporter)
    if name is None:
        return None
    place, found = _file_of(name, text, at, kind=kind, stdlib=stdlib, reporter=reporter)
    if found and place is None:
        no_such_label(text, at, kind=kind, stdlib=stdlib, reporter=reporter)
    return place


def find_model(text: str, at: Span, *, stdlib: Path, reporter: Reporter) -> tuple[Place, str] | None:
    """Return the file of a model and its name there, or None after reporting RLC0010 or RLC0151.

    A family lies in one file: `//models:qwen3_4b` is the symbol `qwen3_4b` of `qwen3.star`, the .star file whose name
    is the longest beginning of the model's.
    """
    name = label_name(text, at, kind="models", stdlib=stdlib, reporter=reporter)
    if name is None:
        return None
    place, found = _file_of(name, text, at, kind="models", stdlib=stdlib, reporter=reporter)
    if not found:
        return None
    if place is None:
        stems = [n.removesuffix(".star") for n in _files(stdlib / "models") if n.endswith(".star")]
        stem = max((s for s in stems if name.startswith(s)), key=len, default=None)
        if stem is None:
            no_such_label(text, at, kind="models", stdlib=stdlib, reporter=reporter)
            return None
        place = _library_place(stdlib, "models", f"{stem}.star")
    return place, name


def find_loaded(text: str, at: Span, *, stdlib: Path, named_in: Place, reporter: Reporter) -> Place | None:
    """Return the file that `load` names, or None after reporting RLC0010, RLC0011 or RLC0152."""
    if not text.startswith("//"):
        if text.endswith(".star") and text.isprintable():
            return find_file(text, at, named_in=named_in, reporter=reporter)
        way = Help(f'write load("{text}.star", ...)') if text.isidentifier() else Help('write load("base.star", ...)')
        if text.endswith(".toml"):
            way = Help(f'a TOML file is used, not loaded: use = ["{text}"]')
        _not_loadable(text, at, way, reporter)
        return None
    import re

    found = re.fullmatch(_LIBRARY_FILE, text)
    if found is None:
        way = 'write load("//recipes:NAME.star", ...) or load("//models:NAME.star", ...)'
        for kind in ("recipes", "models"):
            if (name := _name_in(text, kind)) is not None:
                way = f'write load("{_file_label(kind, name, stdlib)}", ...)'
        _not_loadable(text, at, Help(way), reporter)
        return None
    if not os.path.isfile(stdlib / found[1] / f"{found[2]}.star"):
        no_such_label(text, at, kind=found[1], stdlib=stdlib, reporter=reporter, suffix=".star")
        return None
    return _library_place(stdlib, found[1], f"{found[2]}.star")


def label_name(text: str, at: Span, *, kind: str, stdlib: Path, reporter: Reporter) -> str | None:
    """Return the name in a label of one kind, or None after reporting RLC0010."""
    name = _name_in(text, kind)
    if name is not None:
        return name
    label = Label(at, f"expected //{kind}:NAME", is_primary=True)
    advice = _label_advice(text.rpartition(":")[2].rpartition("/")[2], kind, stdlib)
    reporter.add(Diagnostic("RLC0010", f"`{text}` is not the label of a {kind[:-1]}", (label,), advice))
    return None


def _name_in(text: str, kind: str) -> str | None:
    """The name in a text of the form `//kind:NAME`."""
    name = text.removeprefix(f"//{kind}:")
    is_name = name.isascii() and name.replace("-", "_").replace("_", "a").isalnum()
    return name if name != text and is_name else None


def no_such_label(text: str, at: Span, *, kind: str, stdlib: Path, reporter: Reporter, suffix: str = "") -> None:
    """Report RLC0010 for a label that the standard library does not have."""
    label = Label(at, f"the standard library has no {kind[:-1]} of this name", is_primary=True)
    advice = _label_advice(text.rpartition(":")[2].removesuffix(".star"), kind, stdlib, suffix=suffix)
    reporter.add(Diagnostic("RLC0010", f"there is no {text}", (label,), advice))


def find_file(text: str, at: Span, *, named_in: Place, reporter: Reporter) -> Place | None:
    """Return the file of a path relative to the file that names it, or None after reporting RLC0011."""
    path = Path(os.path.realpath(named_in.path.parent / text))
    if os.path.isabs(text) or not path.is_relative_to(named_in.root):
        why, way_out = "leads out of it", f"an empty {MARKER} in a folder above makes that folder the root"
        if os.path.isabs(text):
            why, way_out = "an absolute path", "write it relative to the file that names it"
        message = f"`{text}` leaves the root of the experiment"
        reporter.add(Diagnostic("RLC0011", message, (Label(at, why, is_primary=True),), (Help(way_out),)))
        return None
    name = os.path.normpath(os.path.join(os.path.dirname(named_in.name), text))
    return Place(path, name, named_in.root)


def library_names(kind: str, stdlib: Path) -> list[str]:
    """Return the names that labels of a kind may hold: `grpo` for `//recipes:grpo`."""
    return _names(kind, stdlib, has_files_only=False)


def _file_of(
    name: str, text: str, at: Span, *, kind: str, stdlib: Path, reporter: Reporter
) -> tuple[Place | None, bool]:
    """The one file of a name, if there is one, and False where there are two, which is reported."""
    files = [n for n in (f"{name}.toml", f"{name}.star") if os.path.isfile(stdlib / kind / n)]
    if len(files) == 2:
        label = Label(at, f"{files[0]} or {files[1]}?", is_primary=True)
        way = Help(f"keep one of the files of {kind}/")
        message = f"{text} is both a TOML and a Starlark file"
        reporter.add(Diagnostic("RLC0151", message, (label,), (way,)))
        return None, False
    return (_library_place(stdlib, kind, files[0]) if files else None), True


def _library_place(stdlib: Path, kind: str, name: str) -> Place:
    root = Path(os.path.realpath(stdlib))
    return Place(root / kind / name, f"//{kind}/{name}", root)


def _not_loadable(text: str, at: Span, way: Help, reporter: Reporter) -> None:
    label = Label(at, "expected a path or a label that ends in .star", is_primary=True)
    reporter.add(Diagnostic("RLC0152", f"`{text}` names no .star file", (label,), (way,)))


def _file_label(kind: str, name: str, stdlib: Path) -> str:
    """The label of the file that holds a name of the standard library."""
    stems = [n.removesuffix(".star") for n in _files(stdlib / kind) if n.endswith(".star")]
    stem = max((s for s in stems if name.startswith(s)), key=len, default=name)
    return f"//{kind}:{stem}.star"


def _label_advice(name: str, kind: str, stdlib: Path, *, suffix: str = "") -> tuple[Help, ...]:
    names = _names(kind, stdlib, has_files_only=bool(suffix))
    near = nearest_names(name, names) or (names if len(names) <= 3 else [])
    if near:
        meant = [f'"//{kind}:{n}{suffix}"' for n in near]
        return tuple(Help(f"write {text}", replaced=text if len(meant) == 1 else "") for text in meant)
    if len(names) > _MOST_NAMES:
        return (Help(f"there are {len(names)} {kind}, such as {', '.join(names[:3])}: rlc {kind} lists them"),)
    return (Help(f"the {kind} are " + ", ".join(names)),) if names else ()


def _names(kind: str, stdlib: Path, *, has_files_only: bool) -> list[str]:
    """What the standard library has of a kind: files, and of a family's file the functions that it exports."""
    files = _files(stdlib / kind)
    if has_files_only:
        return sorted(n.removesuffix(".star") for n in files if n.endswith(".star"))
    names = {n.rpartition(".")[0] for n in files if kind != "models" or n.endswith(".toml")}
    import re

    for name in files if kind == "models" else ():
        if name.endswith(".star"):
            names.update(re.findall(_FUNCTION, (stdlib / kind / name).read_text(encoding="utf-8")))
    return sorted(names)


def _files(folder: Path) -> list[str]:
    try:
        return sorted(n for n in os.listdir(folder) if n.endswith(SUFFIXES))
    except OSError:
        return []
