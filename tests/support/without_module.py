"""`python -m tests.support.without_module NAME ARGS`: run `rlc ARGS` where a module is not installed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class Absent:
    """Finds nothing, and says so before any other finder is asked."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        """Raise for the absent module what Python raises for one that is not installed."""
        if fullname.partition(".")[0] == self._name:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


if __name__ == "__main__":
    from rlc.cli.main import main

    sys.meta_path.insert(0, Absent(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
