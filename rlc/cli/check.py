"""`rlc check`: every rule over many specs, for continuous integration and before a commit."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from compiler.diagnostics.named_tuple import NamedTuple
from rlc.cli.completion import complete_setting, complete_spec
from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.compile import Compiled
    from compiler.diagnostics.diagnostic import Diagnostic
    from compiler.ir.catalogue import Catalogue
    from rlc.fixing import Mended

# A library of recipes is no spec.
_NO_EXPERIMENT = "RLC0156"


class Shape(StrEnum):
    """What the diagnostics are printed for: a person, a tool, a code scanner, a job of GitHub Actions."""

    TEXT = "text"
    JSON = "json"
    SARIF = "sarif"
    GITHUB = "github"


class _Asked(NamedTuple):
    """What the command line asks of every spec."""

    catalogue: Catalogue
    sets: tuple[str, ...]
    shrink: bool
    fix: bool
    writes: bool


def check(
    context: typer.Context,
    specs: list[Path] = typer.Argument(
        autocompletion=complete_spec,
        help="Specs (.toml, .star, .star:NAME), or folders of them; a .star file there is one if it makes experiments.",
    ),
    sets: list[str] = typer.Option(
        [],
        "--set",
        metavar="PATH=VALUE",
        autocompletion=complete_setting,
        help="Set one field in each; may be repeated.",
    ),
    shrink: bool = typer.Option(False, "--shrink", help="Check each made small enough for one CPU process as well."),
    policies: list[Path] = typer.Option(
        [], "--policy", metavar="FILE", help="A .star file of what plans must satisfy; may be repeated."
    ),
    as_json: bool = typer.Option(False, "--json", help="The same as --format json."),
    shape: Shape = typer.Option(Shape.TEXT, "--format", help="How to print the diagnostics."),
    fix: bool = typer.Option(False, "--fix", help="Mend what can be: write the first way out of each error."),
    diff: bool = typer.Option(
        False, "--diff", help="Show what --fix would write, and write nothing; exit with 1 if anything."
    ),
) -> int:
    """Check specs without making anything of them."""
    from rlc.catalogue import scan

    output: Output = context.obj
    if as_json and shape not in (Shape.TEXT, Shape.JSON):
        raise typer.BadParameter(f"--json and --format {shape} exclude each other")
    shape = Shape.JSON if as_json else shape
    asked = _Asked(scan(policies), tuple(sets), shrink=shrink, fix=fix or diff, writes=not diff)
    found: list[Diagnostic] = []
    changed: list[Path] = []
    num_checked = num_wrong = 0
    for file, is_named in [(file, not os.path.isdir(spec)) for spec in specs for file in _specs_of(spec)]:
        for compiled in _compiled(file, asked, output, changed):
            if not is_named and [d.code for d in compiled.diagnostics] == [_NO_EXPERIMENT]:
                continue
            num_checked += 1
            num_wrong += any(d.severity == "error" for d in compiled.diagnostics)
            found += compiled.diagnostics
    code = _print(tuple(dict.fromkeys(found)), shape, output)
    if shape is Shape.TEXT:
        wrong = "no errors" if num_wrong == 0 else f"errors in {num_wrong}"
        mended = f", {len(changed)} {'would be mended' if diff else 'mended'}" if changed else ""
        output.result(f"{num_checked} spec{'' if num_checked == 1 else 's'} checked: {wrong}{mended}")
    return 1 if diff and changed else code


def _compiled(file: Path, asked: _Asked, output: Output, changed: list[Path]) -> Iterable[Compiled]:
    """The experiments of a file, mended first if that is asked for; what is mended is added to `changed`."""
    from compiler.compile import compile_all
    from rlc.fixing import mend

    if asked.fix:
        mended = mend(file, asked.catalogue, overrides=asked.sets, shrink=asked.shrink)
        if mended is not None:
            _tell(file, mended, asked, output)
            changed += [file] * (mended.after != mended.before.text)
            return mended.found
    return (c for _, c in compile_all(file, asked.catalogue, overrides=asked.sets, shrink=asked.shrink))


def _tell(file: Path, mended: Mended, asked: _Asked, output: Output) -> None:
    """Write what was mended, and show it."""
    from compiler.frontend.choice import choose
    from rlc.cli.fmt import unified_diff
    from rlc.text_files import in_bytes, rewrite

    path = choose(file).path
    if mended.after != mended.before.text:
        if asked.writes:
            rewrite(path, in_bytes(mended.after, path.read_bytes()))
        output.error(unified_diff(path, mended.before.text, mended.after))
    for diagnostic, way in mended.left:
        output.error(f"{diagnostic.code} is not mended here: {way.text.removeprefix('or ')}\n")


def _print(found: Sequence[Diagnostic], shape: Shape, output: Output) -> int:
    if shape is Shape.SARIF:
        from compiler.diagnostics.sarif import render_sarif
        from compiler.explain import all_pages

        output.result(render_sarif(found, all_pages()))
    elif shape is Shape.GITHUB:
        from compiler.diagnostics.github import render_github

        if found:
            output.result(render_github(found))
    else:
        return output.diagnostics(found, as_json=shape is Shape.JSON)
    return 1 if any(d.severity == "error" for d in found) else 0


def _specs_of(spec: Path) -> list[Path]:
    if not os.path.isdir(spec):
        return [spec]
    # A folder without specs is named as it is, so that its diagnostic says so.
    found = [p for suffix in ("toml", "star") for p in spec.rglob(f"*.{suffix}") if p.name != "rlc.toml"]
    return sorted(found) or [spec]
