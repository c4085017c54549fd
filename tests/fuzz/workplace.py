"""Where targets work: a copy of files/ of its own for each process, which is thrown away behind it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from compiler.ir.catalogue import Catalogue
from rlc import environ
from rlc.catalogue import scan

FILES = Path(__file__).with_name("files")


@contextmanager
def working_place() -> Iterator[Path]:
    """Work in a copy of files/, and keep what rlc makes of texts in it too."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="rlc-fuzz-") as folder:
        place = Path(folder, "files")
        shutil.copytree(FILES, place)
        environ.apply([("RLC_CACHE_DIR", os.path.join(folder, "trees"))])
        os.chdir(place)
        try:
            yield place
        finally:
            os.chdir(before)


@cache
def catalogue() -> Catalogue:
    """Return what there is, for this process."""
    return scan()


def written(name: str, data: bytes) -> Path:
    """Write a file of the place, and return its path."""
    path = Path(name)
    path.write_bytes(data)
    return path
