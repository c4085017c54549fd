"""`rlc schema`: the JSON Schema for editors, and the reference pages."""

from __future__ import annotations

from pathlib import Path

import typer

from rlc.cli.output import Output

SCHEMA_FILE = "rlc.schema.json"
REFERENCE = Path("docs/reference")


def schema(
    context: typer.Context,
    write: bool = typer.Option(False, "--write", help="Write the schema and the reference pages into --dir."),
    check: bool = typer.Option(
        False, "--check", help="Exit with 1 if a file in --dir is not what --write would write."
    ),
    given_folder: Path | None = typer.Option(
        None, "--dir", help=f"The folder of the reference pages [default: {REFERENCE}]."
    ),
) -> int:
    """Print the JSON Schema of a spec, for editors.  In a checkout: keep the reference pages in step with it."""
    output: Output = context.obj
    if write and check:
        raise typer.BadParameter("--write and --check exclude each other")
    if given_folder is not None and not write and not check:
        raise typer.BadParameter("--dir is the folder of --write and --check; the schema alone is printed")
    folder = given_folder or REFERENCE
    if not write and not check:
        output.result(_files()[SCHEMA_FILE])
        return 0
    files = _files()
    stale = sorted(name for name, text in files.items() if _read(folder / name) != text)
    unknown = sorted(p.name for p in folder.glob("*") if p.name not in files and p.is_file())
    if check:
        for name in stale:
            output.error(f"{folder / name} is not what the schema says: rlc schema --write\n")
        for name in unknown:
            output.error(f"{folder / name} is written by nothing: delete it\n")
        return 1 if stale or unknown else 0
    folder.mkdir(parents=True, exist_ok=True)
    for name in stale:
        (folder / name).write_text(files[name], encoding="utf-8")
    output.result(f"{len(files)} files in {folder}: {len(stale)} written, the others were right")
    return 0


def _files() -> dict[str, str]:
    from compiler.emit.json_schema import json_schema
    from compiler.emit.reference import reference_pages
    from compiler.explain import all_pages
    from compiler.ir.canonical import dump
    from rlc.catalogue import scan

    catalogue = scan()
    return {SCHEMA_FILE: dump(json_schema(catalogue)), **reference_pages(catalogue, all_pages())}


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None
