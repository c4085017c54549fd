"""A spec as it was at a revision of its git repository, with all that it may use, unpacked while it is read.

The files that compiling reads (specs, recipes, custom code, config.json) are those of the revision, and those of git
submodules at the commits that it records.  A directory that git does not hold at all, such as downloaded models, has no
revisions: it is that of the working tree.  So is a further root outside of the repository.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.marker import read_marker
from compiler.frontend.roots import MARKER, Place, find_root
from compiler.frontend.session import Session
from compiler.frontend.value import Leaf, Table

_READ_SUFFIXES = (".toml", ".star", ".py")
_READ_NAMES = ("config.json",)
_BATCH = 200
_SUBMODULE = "160000"
# How far below its own top the unpacked repository lies: a further root may lie that many folders above.
_DEPTH = 8


class Revision(NamedTuple):
    """A revision that lies in a folder: the path of the spec there, and what a person calls it."""

    spec: Path
    folder: Path
    name: str


@contextmanager
def unpacked(spec: Path, revision: str) -> Iterator[Revision]:
    """Yield a spec at a revision.  Raises: SpecError RLC0023 if git cannot say how it was."""
    real = Path(os.path.realpath(spec))
    top = Path(_git(real.parent, revision, "rev-parse", "--show-toplevel").decode().rstrip("\n"))
    wanted = f"{revision}^{{commit}}"
    commit = _git(top, revision, "rev-parse", "--verify", "--quiet", "--end-of-options", wanted).decode().strip()
    root = find_root(spec)
    with tempfile.TemporaryDirectory(prefix="rlc-") as name:
        folder = Path(name, *["x"] * _DEPTH)
        folder.mkdir(parents=True)
        if root.is_relative_to(top):
            inside = root.relative_to(top).as_posix()
            unpacked_root = folder / inside
        else:  # a root above the repository: paths of a plan start there, at the revision as well
            unpacked_root = folder
            (folder / MARKER).write_bytes((root / MARKER).read_bytes())
            folder, inside = folder / top.relative_to(root), "."
            folder.mkdir(parents=True)
        _unpack(top, commit, inside, folder)
        _link_strangers(top, inside, folder)
        _add_roots(_Repository(top, commit, folder), root, unpacked_root)
        place = real.relative_to(top)
        yield Revision(folder / place, folder, f"{revision}:{place.as_posix()}")


class _Repository(NamedTuple):
    """A repository at a commit, and the folder that it is unpacked into."""

    top: Path
    commit: str
    folder: Path


def _add_roots(repository: _Repository, root: Path, unpacked_root: Path) -> None:
    """Unpack the further roots that lie in the repository beside its own; make those outside of it appear."""
    for path in _paths_of_roots(unpacked_root / MARKER):
        real, place = Path(os.path.normpath(root / path)), Path(os.path.normpath(unpacked_root / path))
        if place.exists():
            continue
        if real.is_relative_to(repository.top):
            way = real.relative_to(repository.top).as_posix()
            _unpack(repository.top, repository.commit, way, repository.folder)
            _link_strangers(repository.top, way, repository.folder)
        elif path.split("/").count("..") <= _DEPTH:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(real, target_is_directory=True)


def _paths_of_roots(marker: Path) -> list[str]:
    """The paths of the further roots that a marker names, right or wrong."""
    session = Session(marker.parent)
    place = Place(marker, MARKER, marker.parent)
    found = read_marker(place, session, Reporter())
    roots = None if found is None else found.get("roots")
    leaves = [entry.node for entry in roots.entries.values()] if isinstance(roots, Table) else []
    texts = [leaf.value for leaf in leaves if isinstance(leaf, Leaf)]
    return [text for text in texts if isinstance(text, str) and text and not os.path.isabs(text)]


def _unpack(top: Path, commit: str, root: str, folder: Path) -> None:
    listing = _git(top, commit, "ls-tree", "-r", "-z", commit, "--", root)
    entries = [entry.partition("\t") for entry in os.fsdecode(listing).split("\0") if entry]
    files = [name for about, _, name in entries if not about.startswith(_SUBMODULE)]
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    read = [name for name in files if name.endswith(_READ_SUFFIXES) or name.rpartition("/")[2] in _READ_NAMES]
    for at in range(0, len(read), _BATCH):
        paths = [f":(literal){name}" for name in read[at : at + _BATCH]]
        data = _git(top, commit, "archive", "--format=tar", commit, "--", *paths)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            for member in archive:
                _place(archive, member, folder / member.name)
    for about, _, name in entries:
        if about.startswith(_SUBMODULE) and (top / name / ".git").exists():
            (folder / name).mkdir(parents=True, exist_ok=True)
            _unpack(top / name, about.split()[2], ".", folder / name)


def _place(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Make one file or link; whether a link may be followed is for the compiler to say, as in the working tree."""
    content = archive.extractfile(member) if member.isreg() else None
    if content is not None:
        path.write_bytes(content.read())
    elif member.issym():
        path.symlink_to(member.linkname)


def _link_strangers(top: Path, root: str, folder: Path) -> None:
    """Make the directories that git does not hold appear at their places."""
    listing = _git(top, root, "ls-files", "--others", "--directory", "-z", "--", root)
    for name in os.fsdecode(listing).split("\0"):
        place = folder / name
        if name.endswith("/") and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(top / name, target_is_directory=True)


def _git(folder: Path, revision: str, *arguments: str) -> bytes:
    command: Sequence[str] = ("git", "-C", str(folder), *arguments)
    try:
        done = subprocess.run(command, check=False, capture_output=True)
    except OSError as fault:
        raise SpecError(_unknown(revision, f"git cannot be called: {fault}")) from fault
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise SpecError(_unknown(revision, said.removeprefix("fatal: ") or "git knows no such revision"))
    return done.stdout


def _unknown(revision: str, why: str) -> Diagnostic:
    ways = (
        Help("name a revision that git knows, such as HEAD or a branch"),
        Help("or another spec (.toml), or a saved plan (.json)"),
    )
    return Diagnostic("RLC0023", f"there is nothing to compare with at {revision}: {why}", help=ways)
