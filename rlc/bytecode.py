"""The bytecode of all modules that a plan loads, in one file.

A plan loads a hundred and fifty modules, and Python is longer about finding each of them than about running it.  What
their .pyc files hold is therefore kept a second time, together, in the same `__pycache__` and under the same terms:
code stands for one size and one time of its source, of one interpreter.  A module for which that does not hold is left
to Python's own import, and so are all of them once a file was added to a folder of theirs, or taken away.
"""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType

from compiler.diagnostics.annotations import TypeAlias, override

# The path of a source, that of its .pyc, its size in bytes, its time in nanoseconds, and its code in marshal's format.
_Kept: TypeAlias = "tuple[str, str | None, int, int, bytes]"


class KeptLoader(SourceFileLoader):
    """Loads a module from code that was kept."""

    def __init__(self, name: str, path: str, code: bytes) -> None:
        super().__init__(name, path)
        self._code = code

    @override
    def get_code(self, fullname: str) -> CodeType:
        """Return the code of the module."""
        code: CodeType = marshal.loads(self._code)
        return code


class KeptBytecode:
    """Finds modules in a file of bytecode, as an entry of `sys.meta_path`.

    Args:
        file: where the bytecode is kept.
        packages: whose modules.
    """

    def __init__(self, file: str, packages: Sequence[str]) -> None:
        self.file = file
        self.packages = packages
        self._others = frozenset(sys.modules)
        self._modules = _read(file)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module comes from, or None if its code is not kept or no longer that of its source."""
        kept = self._modules.get(fullname)
        if kept is None:
            return None
        source, cached, size, time_ns, code = kept
        if _size_and_time(source) != (size, time_ns):
            return None
        spec = ModuleSpec(fullname, KeptLoader(fullname, source, code), origin=source)
        spec.has_location, spec.cached = True, cached
        if source.endswith("__init__.py"):
            spec.submodule_search_locations = [os.path.dirname(source)]
        return spec

    def keep(self) -> None:
        """Write the file anew if a module of the packages was found elsewhere since this object was made."""
        found = {
            name: spec
            for name, module in sys.modules.items()
            if name.partition(".")[0] in self.packages and name not in self._others
            if (spec := module.__spec__) is not None and type(spec.loader) is SourceFileLoader
        }
        if not found or sys.dont_write_bytecode:
            return
        modules = dict(self._modules)
        for name, spec in found.items():
            source = str(spec.origin)
            size, time_ns = _size_and_time(source)  # before the code: it may be older than this, not newer
            code = SourceFileLoader(name, source).get_code(name)
            modules[name] = (source, spec.cached, size, time_ns, marshal.dumps(code))
        _write(self.file, modules)


def _read(file: str) -> dict[str, _Kept]:
    """What a file keeps; nothing if it was kept elsewhere, by another interpreter, or of other folders."""
    try:
        with open(file, "rb") as opened:
            interpreter, place, folders, modules = marshal.loads(opened.read())
        is_ours = (interpreter, place) == (sys.version, file) and folders == _times(folders)
    except (OSError, ValueError, EOFError, TypeError):
        return {}
    return modules if is_ours else {}


def _write(file: str, modules: dict[str, _Kept]) -> None:
    folders = {os.path.dirname(source) for source, *_ in modules.values()}
    beside = f"{file}.{os.getpid()}"
    try:
        with open(beside, "wb") as opened:
            opened.write(marshal.dumps((sys.version, file, _times(folders), modules)))
        os.replace(beside, file)
    except OSError:  # a folder that may not be written: then there is no such file
        return


def _times(folders: Iterable[str]) -> dict[str, int]:
    """When something was last added to each folder, or taken away."""
    return {folder: _size_and_time(folder)[1] for folder in folders}


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
