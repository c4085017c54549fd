"""How the process begins and ends."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

_LONG_LIVED = frozenset({"run", "eval", "serve", "lsp"})
_PACKAGES = ("rlc", "compiler", "stdlib", "targets")
_TYPER_LINE = "rlc.cli.main"


def entry() -> None:
    """Run the command line of this process and leave with its exit code.

    A verb that compiles lives too short for the garbage collector to pay, and taking down what it imported would cost
    as much as a tenth of it; `run`, `eval` and `lsp` live long, close what they open and leave in the ordinary way.
    """
    words = sys.argv[1:]
    _open_closed_streams()
    if not _LONG_LIVED.isdisjoint(words):
        sys.exit(run_line(words))
    gc.disable()
    code = _plan(words) if words[:1] == ["plan"] else run_line(words)
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # said already, or whoever reads has read enough
        code = code or 1
    os._exit(code)


def _open_closed_streams() -> None:
    """Give a process that was started without an output one that goes nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def _plan(words: Sequence[str]) -> int:
    """Run `rlc plan` with the bytecode that the last one kept."""
    from rlc.bytecode import KeptBytecode

    kept = KeptBytecode(f"{__spec__.cached}.plan", _PACKAGES)
    sys.meta_path.insert(0, kept)
    code = run_line(words)
    if code == 0 and _TYPER_LINE not in sys.modules:
        kept.keep()
    return code


def run_line(words: Sequence[str]) -> int:
    """Run a command line and return its exit code."""
    from rlc.cli.border import guarded
    from rlc.cli.output import choose_output
    from rlc.cli.plan_line import read_plan_line
    from rlc.cli.planning import make_plan

    request = read_plan_line(words)
    if request is None:
        from rlc.cli.main import main

        return main(words)
    output = choose_output("auto", ascii_only=False)
    return guarded(lambda: make_plan(request, output), output)
