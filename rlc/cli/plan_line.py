"""The plain command lines of `rlc plan`, read without Typer.

Loading Typer takes longer than compiling an experiment, and `rlc plan SPEC` is typed, or run by an editor, at every
change.  What is not plain (help, other options, mistakes, abbreviations) is left to Typer, which is the authority:
a test holds that both read the same from every line that is accepted here.
"""

from __future__ import annotations

from collections.abc import Sequence

from compiler.diagnostics.file_path import Path
from rlc.cli.planning import PlanRequest


def read_plan_line(words: Sequence[str]) -> PlanRequest | None:
    """Return what `plan SPEC [--json] [--shrink] [--set PATH=VALUE]...` asks for, or None for another command line."""
    if not words or words[0] != "plan":
        return None
    specs: list[str] = []
    sets: list[str] = []
    as_json = shrink = False
    rest = iter(words[1:])
    for word in rest:
        if word == "--json":
            as_json = True
        elif word == "--shrink":
            shrink = True
        elif word == "--set":
            value = next(rest, "-")
            if value.startswith("-"):
                return None
            sets.append(value)
        elif word.startswith("-"):
            return None
        else:
            specs.append(word)
    return PlanRequest(Path(specs[0]), tuple(sets), as_json, shrink=shrink) if len(specs) == 1 else None
