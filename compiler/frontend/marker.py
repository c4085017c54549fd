"""`rlc.toml`: the file that marks a root, names the policy of what is below it, and names further roots.

```toml
rlc = 1
policy = ["policy.star", "@lab//policies:house.star"]

[roots]
lab = "vendor/lab-recipes"    # a git submodule
zoo = "../model-zoo"          # a checkout beside this one
```

The folders are relative to this file.  Only the marker of a spec's own root is read: what a further root calls others
has no say in where the labels of an experiment lead.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterator

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.read import MAX_BYTES
from compiler.frontend.roots import MARKER, Place, Root
from compiler.frontend.value import SPEC, Entry, Leaf, List, Node, Table

if TYPE_CHECKING:
    from compiler.frontend.session import Session

# What a reader would take for the standard library.
RESERVED = ("rlc", "stdlib")

_KEYS = ("rlc", "policy", "roots")
_NAME = r"[a-z][a-z0-9_-]*"
_SHAPES = {
    "rlc": "the only version is 1",
    "policy": 'expected "FILE.star", or a list of them',
    "roots": 'expected a table of folders: NAME = "FOLDER"',
}


def marker_of(spec: Place) -> Place:
    """Return where the marker of a spec's root is, there or not, by the name that messages use."""
    path = spec.root / MARKER
    name = os.path.normpath(os.path.join(os.path.dirname(spec.name), os.path.relpath(path, spec.path.parent)))
    return Place(path, name, spec.root, spec.roots)


def read_marker(spec: Place, session: Session, reporter: Reporter) -> Table | None:
    """Return what the marker of a spec's root says; None for one that is empty, not there, or cannot be read."""
    marker = marker_of(spec)
    try:
        status = marker.path.stat()
        if status.st_size <= MAX_BYTES and not marker.path.read_bytes().strip():
            return None
    except FileNotFoundError:
        return None
    except OSError:
        pass  # whoever reads it says what is wrong
    trees = session.trees(marker, named_at=None, reporter=reporter)
    return None if trees is None else trees.table(SPEC)


def read_roots(spec: Place, session: Session, reporter: Reporter) -> tuple[Root, ...]:
    """Return the further roots of a spec; reports RLC0014, and RLC0034 to RLC0036 for roots that cannot be used."""
    table = read_marker(spec, session, reporter)
    if table is None:
        return ()
    for key, entry in table.entries.items():
        if not _is_well_formed(key, entry.node):
            reporter.add(_unknown(key, entry))
    roots = table.get("roots")
    found: dict[str, tuple[Root, Leaf]] = {}
    for name, entry in roots.entries.items() if isinstance(roots, Table) else ():
        if not isinstance(entry.node, Leaf) or not isinstance(entry.node.value, str):
            label = Label(entry.node.span, "expected the path of a folder", is_primary=True)
            reporter.add(Diagnostic("RLC0014", f"the root {name} is no path", (label,)))
            continue
        fault = _bad_name(name, entry)
        root = _root(name, entry.node, spec) if fault is None else fault
        if isinstance(root, Root):
            root = _twice(root, entry.node, [known for known, _ in found.values()], found) or root
        if isinstance(root, Root):
            found[name] = root, entry.node
        else:
            reporter.add(root)
    return tuple(root for root, _ in found.values())


def policy_leaves(table: Table) -> Iterator[Leaf]:
    """Yield the names of the files that a marker's `policy` holds."""
    node = table.get("policy")
    for item in node.items if isinstance(node, List) else () if node is None else (node,):
        if isinstance(item, Leaf) and isinstance(item.value, str):
            yield item


def _is_well_formed(key: str, node: Node) -> bool:
    if key == "rlc":
        return isinstance(node, Leaf) and node.value == 1 and node.value is not True
    if key == "policy":
        items = node.items if isinstance(node, List) else (node,)
        return all(isinstance(item, Leaf) and isinstance(item.value, str) for item in items)
    return key == "roots" and isinstance(node, Table)


def _unknown(key: str, entry: Entry) -> Diagnostic:
    known = key in _SHAPES
    label = Label(entry.node.span if known else entry.key_span, _SHAPES.get(key, "unknown here"), is_primary=True)
    near = nearest_names(key, () if known else _KEYS)
    ways = [Help(f"did you mean {name}?") for name in near]
    ways.append(Help('write rlc = 1, and policy = "FILE.star" for what every experiment below must satisfy'))
    ways.append(Help('or [roots] NAME = "FOLDER" for a folder that labels @NAME//... lead to'))
    return Diagnostic("RLC0014", f"{MARKER} holds rlc = 1, policy and [roots], and nothing else", (label,), tuple(ways))


def _bad_name(name: str, entry: Entry) -> Diagnostic | None:
    if name in RESERVED:
        label = Label(entry.key_span, "the standard library is //", is_primary=True)
        way = Help(f"call it otherwise, such as {name}-ours: labels are @NAME//recipes:grpo")
        return Diagnostic("RLC0035", f"no further root may be called {name}", (label,), (way,))
    if re.fullmatch(_NAME, name):
        return None
    label = Label(entry.key_span, "small letters, digits, - and _", is_primary=True)
    meant = re.sub(r"[^a-z0-9_-]", "-", name.lower()).lstrip("-_0123456789")
    ways = (Help(f"write {meant}"),) if meant and meant not in RESERVED else ()
    return Diagnostic("RLC0035", f"{name!r} is no name for a root", (label,), ways)


def _root(name: str, leaf: Leaf, spec: Place) -> Root | Diagnostic:
    """A further root whose folder is there and lies apart from the experiment's own, or what is wrong with it."""
    text = str(leaf.value)
    if not text or not text.isprintable() or os.path.isabs(text):
        what = "an absolute path" if text and text.isprintable() else "no folder has this path"
        label = Label(leaf.span, what, is_primary=True)
        way = Help(f"write the path relative to {MARKER}, such as vendor/{name} or ../{name}")
        return Diagnostic("RLC0034", f"the root {name} has no folder that can be used", (label,), (way,))
    folder = Path(os.path.realpath(spec.root / text))
    if not folder.is_dir():
        what = "this is a file" if folder.exists() else "no such folder"
        near = nearest_names(folder.name, () if folder.exists() else _folders(folder.parent))
        ways = [Help(f"did you mean {posixpath.join(posixpath.dirname(text), other)}?") for other in near]
        if not folder.exists() and not near:
            ways = [Help("check it out, if it is a submodule: git submodule update --init")]
        if folder.exists():
            ways = [Help("name the folder that holds it")]
        label = Label(leaf.span, what, is_primary=True)
        return Diagnostic("RLC0034", f"the root {name} is not there: {text}", (label,), tuple(ways))
    if spec.root.is_relative_to(folder):
        is_same = spec.root == folder
        what = f"the folder of this {MARKER}" if is_same else f"this {MARKER} lies below it"
        label = Label(leaf.span, what, is_primary=True)
        way = Help("name a folder below or beside the root; files of the root itself are named by their paths")
        return Diagnostic("RLC0036", f"the root {name} holds the root that names it", (label,), (way,))
    return Root(name, folder, posixpath.normpath(text))


def _twice(root: Root, leaf: Leaf, known: list[Root], found: dict[str, tuple[Root, Leaf]]) -> Diagnostic | None:
    other = next((other for other in known if other.folder == root.folder), None)
    if other is None:
        return None
    labels = (Label(found[other.name][1].span, "the first"), Label(leaf.span, "the same folder again", is_primary=True))
    way = Help(f"keep one of the two: a file has one label, @{other.name}//... or @{root.name}//...")
    return Diagnostic("RLC0036", f"the roots {other.name} and {root.name} are one folder", labels, (way,))


def _folders(parent: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(parent) if entry.is_dir())
    except OSError:
        return []
