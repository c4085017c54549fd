"""Bad specs as files: tests/cases/RLCnnnn_PHRASE.toml or .star, or a folder of that name with spec.toml or spec.star.

The name of a case holds the code that compiling it raises.  Its first lines may be comments that say more:
`# rlc: --set PATH=VALUE ...` is a piece of command line, `# also: RLCnnnn ...` are further codes that it raises.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from compiler.compile import Compiled, compile_spec
from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.diagnostics.text import render
from rlc.catalogue import scan

CASES = Path(__file__).parents[1] / "cases"

_NAME = re.compile(r"(RLC\d{4})_[a-z0-9_]+")
_ENDS = (".toml", ".star")
_COMMENT = re.compile(r"# (rlc|also): (.*)")


class Case(NamedTuple):
    """One bad spec: its file below the folder of cases, what --set says, and the codes that it raises."""

    name: str
    spec: Path
    overrides: tuple[str, ...]
    codes: frozenset[str]

    @property
    def code(self) -> str:
        """The code that the case is about."""
        return self.name[:7]


def read_cases(folder: Path = CASES) -> list[Case]:
    """Return the cases of a folder by name.  Raises: ValueError naming what is no case."""
    return [_read(path, folder) for path in sorted(folder.iterdir())]


def compile_case(case: Case, overrides: Sequence[str] | None = None) -> Compiled:
    """Compile a case as if from the folder of cases; `overrides` take the place of its own."""
    with working_in(CASES):
        return compile_spec(case.spec, scan(), overrides=case.overrides if overrides is None else overrides)


@cache
def diagnostics_of(case: Case) -> tuple[Diagnostic, ...]:
    """Return what a case raises; each is compiled once in a run."""
    compiled = compile_case(case)
    assert compiled.diagnostics
    return compiled.diagnostics


def rendered(found: Sequence[Diagnostic]) -> str:
    """Return diagnostics as a terminal without colours and Unicode shows them, a blank line between two."""
    return "\n\n".join(render(d, color=False, ascii_only=True) for d in found) + "\n"


def applied(case: Case, way: Help) -> list[str]:
    """Return the overrides of a case with what a help sets; an override of the same path makes way."""
    new = [f"{path}={literal}" for path, literal in way.sets]
    paths = {path for path, _ in way.sets}
    return [old for old in case.overrides if old.partition("=")[0] not in paths] + new


@contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """Work in a folder, so that names in messages are short and the same everywhere."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _read(path: Path, folder: Path) -> Case:
    name = path.stem
    spec = path
    if path.is_dir():
        spec = next((path / f"spec{end}" for end in _ENDS if (path / f"spec{end}").exists()), path)
    found = _NAME.fullmatch(name)
    if found is None or spec.suffix not in _ENDS:
        raise ValueError(f"tests/cases/{path.name} is not called RLCnnnn_phrase.toml or .star, in lower case")
    overrides: list[str] = []
    codes = {found[1]}
    for line in spec.read_text(encoding="utf-8").splitlines():
        comment = _COMMENT.fullmatch(line)
        if comment is None:
            break
        words = shlex.split(comment[2])
        if comment[1] == "also":
            codes.update(words)
        elif words[::2] == ["--set"] * (len(words) // 2):
            overrides += words[1::2]
        else:
            raise ValueError(f"tests/cases/{path.name}: a case takes --set PATH=VALUE and nothing else")
    return Case(name, spec.relative_to(folder), tuple(overrides), frozenset(codes))
