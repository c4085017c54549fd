"""`rlc check`: every rule over many specs, and over what they use, for continuous integration and before a commit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from compiler.diagnostics.named_tuple import NamedTuple
from rlc.cli.completion import complete_setting, complete_spec
from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.diagnostics.diagnostic import Diagnostic
    from compiler.ir.catalogue import Catalogue
    from rlc.checking import Checked
    from rlc.fixing import Mended

# What is counted, in the order in which it is told; a marker is only the root of the others.
_COUNTED = ("spec", "recipe", "model", "policy", "library")
_PLURALS = {"policy": "policies", "library": "libraries"}


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
        help="Specs (.toml, .star, .star:NAME), what they use (recipes, models, policies, libraries), or folders.",
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
    data: bool = typer.Option(
        False, "--data", help="Open the data that specs name too: rows, keys, lengths, what is held out, epochs."
    ),
    diff: bool = typer.Option(
        False, "--diff", help="Show what --fix would write, and write nothing; exit with 1 if anything."
    ),
) -> int:
    """Check specs and what they use, and run nothing.

    Recipes, models, policies and libraries are checked as what they are.
    """
    from compiler.frontend.choice import choose
    from rlc.catalogue import scan

    output: Output = context.obj
    if as_json and shape not in (Shape.TEXT, Shape.JSON):
        raise typer.BadParameter(f"--json and --format {shape} exclude each other")
    shape = Shape.JSON if as_json else shape
    asked = _Asked(scan(policies), tuple(sets), shrink=shrink, fix=fix or diff, writes=not diff)
    found: list[Diagnostic] = []
    whole: dict[Diagnostic, str] = {}  # those about a whole file, and the file
    changed: list[Path] = []
    counts: dict[str, int] = {}
    lines: list[str] = []
    num_wrong = 0
    for file in (file for spec in specs for file in _files_of(spec, asked.catalogue)):
        for checked in _checked(file, asked, output, changed):
            counts[checked.kind] = counts.get(checked.kind, 0) + 1
            num_wrong += checked.has_errors
            found += checked.diagnostics
            whole |= {d: choose(file).path.as_posix() for d in checked.diagnostics if not d.labels}
            if data and checked.compiled is not None:
                from rlc.data_check import check_data

                report = check_data(checked.compiled)
                found += report.diagnostics
                num_wrong += not checked.has_errors and any(d.severity == "error" for d in report.diagnostics)
                lines += [f"{checked.name}: {line}" for line in report.lines]
    code = _print(tuple(dict.fromkeys(found)), whole, shape, output)
    if shape is Shape.TEXT:
        for line in lines:
            output.result(line)
        wrong = f"errors in {num_wrong}" if num_wrong else "no errors"
        mended = f", {len(changed)} {'would be mended' if diff else 'mended'}" if changed else ""
        output.result(f"{_counted(counts)} checked: {wrong}{mended}")
    return 1 if diff and changed else code


def _counted(counts: Mapping[str, int]) -> str:
    parts = []
    for kind in _COUNTED:
        count = counts.get(kind, 0)
        if count or (kind == "spec" and not any(counts.get(other) for other in _COUNTED)):
            parts.append(f"{count} {kind if count == 1 else _PLURALS.get(kind, f'{kind}s')}")
    return ", ".join(parts)


def _checked(file: Path, asked: _Asked, output: Output, changed: list[Path]) -> Sequence[Checked]:
    """A file as what it is; a spec is mended first if that is asked for, and then added to `changed`."""
    from compiler.frontend.session import Session
    from rlc.checking import Checked, check_file, kind_of
    from rlc.fixing import mend

    catalogue = asked.catalogue
    if asked.fix and kind_of(file, Session(catalogue.stdlib, catalogue.cache)) == "spec":
        mended = mend(file, catalogue, overrides=asked.sets, shrink=asked.shrink)
        if mended is not None:
            _tell(file, mended, asked, output)
            changed += [file] * (mended.after != mended.before.text)
            return [Checked("spec", str(file), compiled.diagnostics, compiled) for compiled in mended.found]
    return check_file(file, catalogue, overrides=asked.sets, shrink=asked.shrink)


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


def _print(found: Sequence[Diagnostic], whole: Mapping[Diagnostic, str], shape: Shape, output: Output) -> int:
    if shape is Shape.SARIF:
        from compiler.diagnostics.sarif import render_sarif
        from compiler.explain import all_pages

        output.result(render_sarif(found, all_pages(), whole))
    elif shape is Shape.GITHUB:
        from compiler.diagnostics.github import render_github

        if found:
            output.result(render_github(found, whole))
    else:
        return output.diagnostics(found, as_json=shape is Shape.JSON)
    return 1 if any(d.severity == "error" for d in found) else 0


def _files_of(given: Path, catalogue: Catalogue) -> list[Path]:
    """A file itself; of a folder all that is ours: other tools keep their settings in TOML too, with other keys."""
    if not os.path.isdir(given):
        return [given]
    found = sorted(path for suffix in ("toml", "star") for path in given.rglob(f"*.{suffix}"))
    shown = [p for p in found if not any(part.startswith(".") for part in p.relative_to(given).parts)]
    # A folder without specs is named as it is, so that its diagnostic says so.
    return [path for path in shown if _may_be_ours(path, catalogue)] or [given]


def _may_be_ours(path: Path, catalogue: Catalogue) -> bool:
    import tomli

    from compiler.frontend.roots import MARKER
    from compiler.ir.spec_tables import spec_tables

    if path.suffix == ".star" or path.name == MARKER:
        return True
    try:
        keys = tomli.loads(path.read_bytes().decode("utf-8-sig")).keys()
    except (ValueError, OSError):
        return path.name not in ("pyproject.toml", "Cargo.toml")
    tables = spec_tables(catalogue, of_stage=False)
    known = {table.partition(".")[0] for table in tables} | {key.name for key in tables[""].keys}
    return not keys or not keys.isdisjoint(known | {"use", "stages", "require", "allow"})
