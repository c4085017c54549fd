"""Whether this environment holds what the project asks for; `./do setup` runs it to decide whether to install.

    python checks/environment.py EXTRA ...

Compares the installed versions of the core dependencies and of those of the extras with constraints/cpu.txt, without
importing any of them.  Prints what is missing or differs, and then returns 1.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def faults(root: Path, extras: Sequence[str]) -> Iterator[str]:
    """Yield one line for each requirement that is not installed, or not in the version that is pinned."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    requirements = [*project["dependencies"], *(r for e in extras for r in project["optional-dependencies"][e])]
    requirements = [r for r in requirements if _is_for_here(r)]
    pins = pinned((root / "constraints" / "cpu.txt").read_text(encoding="utf-8"))
    for name in [project["name"], *(_name(r) for r in requirements)]:
        try:
            found = version(name).partition("+")[0]
        except PackageNotFoundError:
            yield f"{name} is not installed"
            continue
        wanted = pins.get(_normal(name), found)
        if found != wanted:
            yield f"{name} is {found}, not {wanted}"


def pinned(constraints: str) -> dict[str, str]:
    """Return the version of each package that a constraints file pins, by its normalized name."""
    lines = (line.partition("#")[0].strip() for line in constraints.splitlines())
    return {_normal(name): pin for name, _, pin in (line.partition("==") for line in lines if line)}


def _is_for_here(requirement: str) -> bool:
    """Whether a requirement is one of this Python on this system: `NAME OPERATOR 'VALUE'`, or several with `and`."""
    here = {"python_version": f"{sys.version_info.major}.{sys.version_info.minor}", "sys_platform": sys.platform}
    for condition in filter(None, re.split(r"\band\b", requirement.partition(";")[2])):
        match = re.fullmatch(r"\s*(\w+)\s*(==|<)\s*'([^']*)'\s*", condition)
        assert match is not None, requirement
        found, wanted = _parts(here[match[1]]), _parts(match[3])
        if not (found == wanted if match[2] == "==" else found < wanted):
            return False
    return True


def _parts(value: str) -> list[tuple[int, str]]:
    """A value in pieces that compare as versions do: 3.9 before 3.10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in value.split(".")]


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match is not None, requirement
    return match.group()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    found = list(faults(ROOT, sys.argv[1:]))
    print("\n".join(found), end="\n" if found else "")
    sys.exit(1 if found else 0)
