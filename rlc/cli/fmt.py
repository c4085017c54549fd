"""`rlc fmt`: specs of both syntaxes, laid out in one way."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rlc.cli.completion import complete_spec
from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.ir.catalogue import Catalogue

_EMPTY = "RLC0004"
_MARKER = "rlc.toml"


def fmt(
    context: typer.Context,
    paths: list[Path] = typer.Argument(
        None, autocompletion=complete_spec, help="Files, or folders of specs (.toml, .star) [default: this folder]."
    ),
    check: bool = typer.Option(False, "--check", help="Write nothing; exit with 1 if a file would change."),
    diff: bool = typer.Option(False, "--diff", help="Write nothing, and print what would change; exits like --check."),
) -> int:
    """Lay specs out.  Spaces, quotes and line breaks change; comments and values stay."""
    from compiler.diagnostics.diagnostic import SpecError
    from rlc.catalogue import scan
    from rlc.text_files import rewrite

    output: Output = context.obj
    catalogue = scan()
    num_files = num_changed = code = 0
    for path in _files(paths or [Path()], catalogue):
        num_files += 1
        try:
            before = path.read_bytes() if os.path.isfile(path) else b""
            after = _laid_out(path, before, catalogue)
            if after == before:
                continue
            num_changed += 1
            if diff:
                output.result(unified_diff(path, before.decode("utf-8-sig"), after.decode()))
            elif not check:
                rewrite(path, after)
            output.error(f"{path} {'would be' if check or diff else 'was'} laid out\n")
        except SpecError as fault:
            code = output.diagnostics(fault.diagnostics)
    output.error(f"{num_files} file{'' if num_files == 1 else 's'}: {num_changed} {_done(check or diff)}\n")
    return 1 if code or (num_changed and (check or diff)) else 0


def unified_diff(path: Path, before: str, after: str) -> str:
    """Return what changes in a file, as `diff -u` shows it."""
    import difflib

    lines = difflib.unified_diff(
        before.splitlines(keepends=True), after.splitlines(keepends=True), str(path), str(path)
    )
    shown = [line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines]
    return "".join(shown).replace("\r\n", "\n")


def _done(is_dry: bool) -> str:
    return "would change" if is_dry else "changed"


def _laid_out(path: Path, before: bytes, catalogue: Catalogue) -> bytes:
    """The bytes of a file as they should be.  Raises: SpecError if it cannot be read, or its syntax is wrong."""
    from compiler.diagnostics.reporter import Reporter
    from compiler.format.source import format_source
    from compiler.frontend.read import read_source
    from rlc.text_files import in_bytes

    reporter = Reporter()
    source = read_source(path, str(path), named_at=None, reporter=reporter)
    if source is None and [d.code for d in reporter.diagnostics] == [_EMPTY]:
        return before
    reporter.raise_errors()
    assert source is not None, "there is a text or an error"
    return in_bytes(format_source(source, catalogue.cache), before)


def _files(paths: Sequence[Path], catalogue: Catalogue) -> list[Path]:
    found: dict[Path, None] = {}
    for path in paths:
        if not os.path.isdir(path):
            found[path] = None
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix in (".toml", ".star") and os.path.isfile(p))
        shown = [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        found.update(dict.fromkeys(p for p in shown if _is_spec(p, catalogue)))
    return list(found)


def _is_spec(path: Path, catalogue: Catalogue) -> bool:
    """Whether a file of a folder is ours: other tools keep their settings in TOML too, with keys of their own."""
    import tomli

    from compiler.ir.spec_tables import spec_tables

    if path.suffix == ".star" or path.name == _MARKER:
        return True
    try:
        keys = tomli.loads(path.read_bytes().decode("utf-8-sig")).keys()
    except (ValueError, OSError):
        return path.name not in ("pyproject.toml", "Cargo.toml")
    known = {table.partition(".")[0] for table in spec_tables(catalogue, of_stage=False)}
    known |= {key.name for key in spec_tables(catalogue, of_stage=False)[""].keys}
    return "rlc" in keys or keys <= known | {"use", "stages", "require", "allow"}
