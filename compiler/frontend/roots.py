"""Where names in a spec lead: labels, and paths below the root of an experiment.

`//recipes:grpo` is a file of rlc's own standard library, `@lab//recipes:grpo` one of a further root, which the
experiment's `rlc.toml` calls `lab`.  Every other path is relative to the file that names it and may not leave that
file's root: for a spec the nearest ancestor folder that holds an `rlc.toml`, else the spec's own folder.
"""

from __future__ import annotations

import os

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.file_path import Path
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.reporter import Reporter
from compiler.diagnostics.span import Span
from compiler.frontend.read import SUFFIXES

MARKER = "rlc.toml"
POLICY = "policy.star"

_MOST_NAMES = 8

# Compiled where they are needed, which few plans come to.
_LIBRARY_FILE = r"//(recipes|models):([A-Za-z0-9_-]+)\.star"
_FURTHER_FILE = r"@([^/:@]+)//((?:[\w.-]+/)*[\w.-]+)?:([\w.-]+)"
_FUNCTION = r"(?m)^def ([A-Za-z][A-Za-z0-9_]*)\(\*\*"


class Root(NamedTuple):
    """A further root: its name, its real folder, and the way to it from the experiment's root, as `rlc.toml` has it."""

    name: str
    folder: Path
    path: str


class Place(NamedTuple):
    """A file that may be read.

    `path` is its real path, `name` what messages call it, `root` the folder that paths in it may not leave, and `roots`
    are the further ones that labels in it may lead to.
    """

    path: Path
    name: str
    root: Path
    roots: tuple[Root, ...] = ()


class Shelf(NamedTuple):
    """A folder that labels of one kind lead to, such as `//recipes` or `@lab//recipes`."""

    label: str
    folder: Path
    root: Path
    roots: tuple[Root, ...] = ()

    @property
    def kind(self) -> str:
        """What lies there: `recipes` or `models`."""
        return self.folder.name

    @property
    def owner(self) -> str:
        """What messages call it that the folder is of."""
        return f"the root {self.label.partition('//')[0]}" if self.roots else "the standard library"

    def place(self, file: str) -> Place:
        """Return a file of the folder."""
        return Place(self.root / self.folder.name / file, f"{self.label}/{file}", self.root, self.roots)

    def files(self) -> list[str]:
        """Return the names of its files."""
        return _files(self.folder)

    def names(self, *, has_files_only: bool = False) -> list[str]:
        """Return what labels may name: files, and of a family's file the functions that it exports."""
        files = self.files()
        if has_files_only:
            return sorted(n.removesuffix(".star") for n in files if n.endswith(".star"))
        is_family = self.kind == "models"
        names = {n.rpartition(".")[0] for n in files if not is_family or n.endswith(".toml")}
        for name in files if is_family else ():
            if name.endswith(".star"):
                names.update(models_in((self.folder / name).read_text(encoding="utf-8", errors="replace")))
        return sorted(names)

    def stem_of(self, name: str) -> str | None:
        """Return the .star file that a name may lie in: that whose own name is the longest beginning of it."""
        return max((s for s in self.names(has_files_only=True) if name.startswith(s)), key=len, default=None)


def models_in(text: str) -> list[str]:
    """Return the models that the text of a family's file exports: functions that take nothing but changes."""
    import re

    return re.findall(_FUNCTION, text)


def standard_shelf(kind: str, stdlib: Path) -> Shelf:
    """Return a folder of the standard library."""
    return Shelf(f"//{kind}", stdlib / kind, Path(os.path.realpath(stdlib)))


def further_shelves(kind: str, roots: tuple[Root, ...]) -> list[Shelf]:
    """Return the folders of one kind that further roots have."""
    found = [Shelf(f"@{root.name}//{kind}", root.folder / kind, root.folder, roots) for root in roots]
    return [shelf for shelf in found if os.path.isdir(shelf.folder)]


def owner_of(path: Path, roots: tuple[Root, ...]) -> Root | None:
    """Return the further root that a real path lies in, the innermost of several."""
    found = [root for root in roots if path == root.folder or path.is_relative_to(root.folder)]
    return max(found, key=lambda root: len(root.folder.parts), default=None)


def is_further(text: str) -> bool:
    """Whether a text is a label that begins with the name of a further root."""
    return text.startswith("@") and "//" in text


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


def find_label(text: str, at: Span, *, kind: str, stdlib: Path, named_in: Place, reporter: Reporter) -> Place | None:
    """Return the file of a label of one kind (`recipes`), or None after reporting RLC0010, RLC0011 or RLC0151."""
    found = _shelf_and_name(text, at, kind=kind, stdlib=stdlib, roots=named_in.roots, reporter=reporter)
    if found is None:
        return None
    shelf, name = found
    place, is_one = _file_of(name, text, at, shelf=shelf, reporter=reporter)
    if is_one and place is None:
        no_such_label(text, at, shelf=shelf, reporter=reporter)
    return None if place is None else _inside(place, text, at, reporter)


def find_model(
    text: str, at: Span, *, stdlib: Path, roots: tuple[Root, ...], reporter: Reporter
) -> tuple[Place, str] | None:
    """Return the file of a model and its name there, or None after reporting RLC0010, RLC0011 or RLC0151.

    A family lies in one file: `//models:qwen3_4b` is the symbol `qwen3_4b` of `qwen3.star`, the .star file whose name
    is the longest beginning of the model's.
    """
    found = _shelf_and_name(text, at, kind="models", stdlib=stdlib, roots=roots, reporter=reporter)
    if found is None:
        return None
    shelf, name = found
    place, is_one = _file_of(name, text, at, shelf=shelf, reporter=reporter)
    if not is_one:
        return None
    if place is None:
        stem = shelf.stem_of(name)
        if stem is None:
            no_such_label(text, at, shelf=shelf, reporter=reporter)
            return None
        place = shelf.place(f"{stem}.star")
    inside = _inside(place, text, at, reporter)
    return None if inside is None else (inside, name)


def find_loaded(text: str, at: Span, *, stdlib: Path, named_in: Place, reporter: Reporter) -> Place | None:
    """Return the file that `load` names, or None after reporting RLC0010, RLC0011 or RLC0152."""
    if is_further(text):
        if text.endswith(".star"):
            return find_further(text, at, named_in=named_in, reporter=reporter)
        _not_loadable(text, at, Help(f'write load("{text}.star", ...)'), reporter)
        return None
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
        label = _label_parts(text)
        way = 'write load("//recipes:NAME.star", ...) or load("//models:NAME.star", ...)'
        if label is not None and label.kind in ("recipes", "models"):
            shelf = standard_shelf(label.kind, stdlib)
            way = f'write load("{shelf.label}:{shelf.stem_of(label.name) or label.name}.star", ...)'
        _not_loadable(text, at, Help(way), reporter)
        return None
    shelf = standard_shelf(found[1], stdlib)
    if not os.path.isfile(shelf.folder / f"{found[2]}.star"):
        no_such_label(text, at, shelf=shelf, reporter=reporter, suffix=".star")
        return None
    return shelf.place(f"{found[2]}.star")


def find_further(text: str, at: Span, *, named_in: Place, reporter: Reporter) -> Place | None:
    """Return the file of `@ROOT//FOLDER:FILE`, there or not, or None after reporting RLC0010 or RLC0011."""
    import re

    found = re.fullmatch(_FURTHER_FILE, text)
    if found is None or ".." in (found[2] or "").split("/"):
        label = Label(at, "expected @ROOT//FOLDER:FILE", is_primary=True)
        reporter.add(Diagnostic("RLC0010", f"`{text}` is not the label of a file", (label,)))
        return None
    root = named_root(found[1], text, at, named_in.roots, reporter)
    if root is None:
        return None
    inside = f"{found[2]}/{found[3]}" if found[2] else found[3]
    place = Place(root.folder / inside, f"@{root.name}//{inside}", root.folder, named_in.roots)
    return _inside(place, text, at, reporter)


def named_root(name: str, text: str, at: Span, roots: tuple[Root, ...], reporter: Reporter) -> Root | None:
    """Return the further root of a name, or None after reporting RLC0010."""
    for root in roots:
        if root.name == name:
            return root
    names = [root.name for root in roots]
    near = nearest_names(name, names) or names[:3]
    ways = [f'did you mean "@{other}{text.removeprefix("@" + name)}"?' for other in near]
    if not roots:
        ways = [f'write [roots] {name} = "FOLDER" into the {MARKER} of the root']
    label = Label(at, f"{MARKER} names no root {name}", is_primary=True)
    reporter.add(Diagnostic("RLC0010", f"there is no root @{name}", (label,), tuple(Help(way) for way in ways)))
    return None


def no_such_label(text: str, at: Span, *, shelf: Shelf, reporter: Reporter, suffix: str = "") -> None:
    """Report RLC0010 for a label that its folder does not have."""
    label = Label(at, f"{shelf.owner} has no {shelf.kind[:-1]} of this name", is_primary=True)
    advice = _label_advice(text.rpartition(":")[2].removesuffix(".star"), shelf, suffix=suffix)
    reporter.add(Diagnostic("RLC0010", f"there is no {text}", (label,), advice))


def find_file(text: str, at: Span, *, named_in: Place, reporter: Reporter) -> Place | None:
    """Return the file of a path relative to the file that names it, or None after reporting RLC0011.

    A file below a further root belongs to that root, however it is named.
    """
    path = Path(os.path.realpath(named_in.path.parent / text))
    owner = owner_of(path, named_in.roots)
    if os.path.isabs(text) or not path.is_relative_to(named_in.root):
        folder = named_in.path.parent
        reporter.add(leaves_root(text, at, path=path, folder=folder, roots=named_in.roots))
        return None
    if owner is not None and owner.folder.is_relative_to(named_in.root):
        return _owned(path, owner, named_in.roots)
    name = os.path.normpath(os.path.join(os.path.dirname(named_in.name), text))
    return Place(path, name, named_in.root, named_in.roots)


def leaves_root(text: str, at: Span, *, path: Path, folder: Path, roots: tuple[Root, ...]) -> Diagnostic:
    """Return RLC0011 for a path.

    Args:
        path: the real path that it leads to.
        folder: that of the file which names it.
    """
    home, owner = owner_of(folder, roots), owner_of(path, roots)
    why, way_out = (
        "leads out of it",
        f"an empty {MARKER} in a folder above makes that folder the root",
    )
    if os.path.isabs(text):
        why, way_out = "an absolute path", "write it relative to the file that names it"
    elif owner is not None and path != owner.folder:
        inside, _, file = path.relative_to(owner.folder).as_posix().rpartition("/")
        is_recipe = inside == "recipes" and file.endswith(SUFFIXES)
        way_out = f'write "@{owner.name}//{inside}:{file.rpartition(".")[0] if is_recipe else file}"'
    elif home is not None:
        way_out = f"move it below the root @{home.name}: its files name those of others by labels only"
    which = "the root of the experiment" if home is None else f"the root @{home.name}"
    return Diagnostic("RLC0011", f"`{text}` leaves {which}", (Label(at, why, is_primary=True),), (Help(way_out),))


def library_names(kind: str, stdlib: Path) -> list[str]:
    """Return the names that labels of a kind may hold: `grpo` for `//recipes:grpo`."""
    return standard_shelf(kind, stdlib).names()


def _shelf_and_name(
    text: str, at: Span, *, kind: str, stdlib: Path, roots: tuple[Root, ...], reporter: Reporter
) -> tuple[Shelf, str] | None:
    """The folder of a label of one kind and the name in it, or None after reporting RLC0010."""
    found = _label_parts(text)
    shelf = standard_shelf(kind, stdlib)
    if found is not None and found.root:
        root = named_root(found.root, text, at, roots, reporter)
        if root is None:
            return None
        shelf = Shelf(f"@{root.name}//{kind}", root.folder / kind, root.folder, roots)
    if found is not None and found.kind == kind:
        return shelf, found.name
    label = Label(at, f"expected {shelf.label}:NAME", is_primary=True)
    advice = _label_advice(text.rpartition(":")[2].rpartition("/")[2], shelf)
    reporter.add(Diagnostic("RLC0010", f"`{text}` is not the label of a {kind[:-1]}", (label,), advice))
    return None


class _Parts(NamedTuple):
    root: str
    kind: str
    name: str


def _label_parts(text: str) -> _Parts | None:
    """The parts of a text of the form `//KIND:NAME` or `@ROOT//KIND:NAME`."""
    before, slashes, rest = text.partition("//")
    kind, colon, name = rest.partition(":")
    root = before.removeprefix("@")
    is_root = before == "" or (before.startswith("@") and root != "" and not set("/:@") & set(root))
    is_kind = kind.isascii() and kind.replace("_", "a").isalpha() and kind.islower()
    is_name = name.isascii() and name.replace("-", "_").replace("_", "a").isalnum()
    return _Parts(root, kind, name) if slashes and colon and is_root and is_kind and is_name else None


def _inside(place: Place, text: str, at: Span, reporter: Reporter) -> Place | None:
    """A file of a further root, whose links are followed, or None after reporting RLC0011."""
    if not place.roots:
        return place
    path = Path(os.path.realpath(place.path))
    owner = owner_of(path, place.roots)
    if owner is not None and path.is_relative_to(place.root):
        return _owned(path, owner, place.roots)
    label = Label(at, "a link there leads out of it", is_primary=True)
    root = place.name.partition("//")[0]
    reporter.add(Diagnostic("RLC0011", f"`{text}` leaves the root {root}", (label,)))
    return None


def _owned(path: Path, owner: Root, roots: tuple[Root, ...]) -> Place:
    return Place(path, f"@{owner.name}//{path.relative_to(owner.folder).as_posix()}", owner.folder, roots)


def _file_of(name: str, text: str, at: Span, *, shelf: Shelf, reporter: Reporter) -> tuple[Place | None, bool]:
    """The one file of a name, if there is one, and False where there are two, which is reported."""
    files = [n for n in (f"{name}.toml", f"{name}.star") if os.path.isfile(shelf.folder / n)]
    if len(files) == 2:
        label = Label(at, f"{files[0]} or {files[1]}?", is_primary=True)
        way = Help(f"keep one of the files of {shelf.kind}/")
        message = f"{text} is both a TOML and a Starlark file"
        reporter.add(Diagnostic("RLC0151", message, (label,), (way,)))
        return None, False
    return (shelf.place(files[0]) if files else None), True


def _not_loadable(text: str, at: Span, way: Help, reporter: Reporter) -> None:
    label = Label(at, "expected a path or a label that ends in .star", is_primary=True)
    reporter.add(Diagnostic("RLC0152", f"`{text}` names no .star file", (label,), (way,)))


def _label_advice(name: str, shelf: Shelf, *, suffix: str = "") -> tuple[Help, ...]:
    kind = shelf.kind
    names = shelf.names(has_files_only=bool(suffix))
    near = nearest_names(name, names) or (names if len(names) <= 3 else [])
    if near:
        meant = [f'"{shelf.label}:{n}{suffix}"' for n in near]
        return tuple(Help(f"write {text}", replaced=text if len(meant) == 1 else "") for text in meant)
    if len(names) > _MOST_NAMES:
        return (Help(f"there are {len(names)} {kind}, such as {', '.join(names[:3])}: rlc {kind} lists them"),)
    return (Help(f"the {kind} are " + ", ".join(names)),) if names else ()


def _files(folder: Path) -> list[str]:
    try:
        return sorted(n for n in os.listdir(folder) if n.endswith(SUFFIXES))
    except OSError:
        return []
