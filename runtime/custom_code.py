"""Custom code, loaded from the file in the plan.

It is the bytes that the plan's digest names: they are read once, compared, and those very bytes run.  The import path
is left alone, so a custom function cannot shadow a module, nor import its neighbours by accident.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.rewards.border import ForeignCode


def load_file(path: Path, *, shown: str, sha256: str, field: str) -> ModuleType:
    """Execute a file and return its module.

    Args:
        shown: what messages call the file.
        field: the field that names it.

    Raises: SpecError RLC0610 if it cannot be read, RLC0611 if it is not the one that was compiled; RewardCallError for
    what it raises.
    """
    try:
        code = path.read_bytes()
    except OSError as error:
        way = Help("restore the file, or name a function that is there as file.py:function")
        message = f"{shown} cannot be read: {error.strerror}"
        raise SpecError(Diagnostic("RLC0610", message, help=(way,), paths=(field,))) from error
    digest = hashlib.sha256(code).hexdigest()
    if digest != sha256:
        raise SpecError(
            Diagnostic(
                code="RLC0611",
                message=f"{shown} has changed since the plan was made: sha256 {digest[:12]}, planned {sha256[:12]}",
                help=(Help("compile again to accept the new code, or restore the file"),),
                paths=(field,),
            )
        )
    module = ModuleType(f"rlc_custom_{digest[:16]}")
    module.__file__ = str(path)
    # Dataclasses and pickle look a class's module up by name.
    sys.modules[module.__name__] = module
    with ForeignCode(str(path)):
        exec(compile(code, str(path), "exec"), module.__dict__)
    return module
