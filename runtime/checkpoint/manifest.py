"""The manifest of a checkpoint: the size and digest of every file, so that damage is found before it is used."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from runtime.weights.file_names import index_of, placed_in

MANIFEST = "manifest.json"
STATE, TENSORS, MODEL = "state.json", "trainer.safetensors", "model.safetensors"
VERSION = 1


def write_manifest(directory: Path, digests: Mapping[str, str] | None = None) -> None:
    """Write the manifest of all files below a directory; of some the digests may be known."""
    known = digests or {}
    files = {
        path.relative_to(directory).as_posix(): {
            "size": path.stat().st_size,
            "sha256": known.get(path.relative_to(directory).as_posix()) or digest_of_file(path),
        }
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
    content = {"version": VERSION, "files": files, "sha256": _digest_of(files)}
    (directory / MANIFEST).write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def damage(directory: Path) -> str:
    """Return what is wrong with a checkpoint, or nothing if it is whole."""
    try:
        content: Any = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if content["version"] != VERSION:
            return f"{MANIFEST} has version {content['version']}, and this rlc reads version {VERSION}"
        files: dict[str, dict[str, Any]] = content["files"]
        if content["sha256"] != _digest_of(files):
            return f"{MANIFEST} is damaged: its own digest does not fit"
        if STATE not in files:
            return f"{MANIFEST} does not list {STATE}"
        found = (_damage_of(directory / name, facts) for name, facts in files.items())
        return next(filter(None, found), "") or _unlisted(directory, files)
    except OSError as error:
        return f"{Path(error.filename or MANIFEST).name} cannot be read: {error.strerror}"
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{MANIFEST} is damaged: {type(error).__name__}: {error}"


def flush(path: Path) -> None:
    """Flush one file, or the entries of one directory, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def same_content(one: Path, other: Path) -> bool:
    """Return whether two whole checkpoints hold the same files."""
    return (one / MANIFEST).read_bytes() == (other / MANIFEST).read_bytes()


def _damage_of(path: Path, facts: dict[str, Any]) -> str:
    if not path.is_file():
        return f"{path.name} is missing"
    size = path.stat().st_size
    if size != facts["size"]:
        return f"{path.name} has {size:,} bytes instead of {facts['size']:,}"
    if digest_of_file(path) != facts["sha256"]:
        return f"{path.name} has other content than was written: its sha256 differs"
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, framework="pt") as file:
                file.keys()
        except SafetensorError as error:
            return f"{path.name} is no safetensors file: {error}"
    return ""


def _unlisted(directory: Path, files: dict[str, Any]) -> str:
    """Return what a checkpoint needs and its manifest does not list."""
    needed: set[str] = set()
    for name in (TENSORS, MODEL):
        index = index_of(name)
        needed |= set(placed_in(directory / index).values()) if index in files else {name}
    missing = sorted(needed.difference(files))
    return f"{MANIFEST} does not list {missing[0]}" if missing else ""


def digest_of_file(path: Path) -> str:
    """Return the sha256 of what a file holds."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(files: object) -> str:
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
