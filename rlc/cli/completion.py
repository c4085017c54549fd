"""What a shell offers behind a piece of a command line: specs, experiments of a file, fields, codes and names.

A broken spec is no message here, but nothing to offer: whoever types does not want one between two words.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import typer

from rlc.environ import file_before_colon

_SPECS = (".toml", ".star")
_MARK = ".star:"


def complete_spec(incomplete: str) -> list[str]:
    """Return specs and folders, and behind `FILE.star:` the experiments of the file."""
    return _specs(incomplete)


def complete_plan(incomplete: str) -> list[str]:
    """Return what `rlc plan` takes: specs, and plans that were saved."""
    plans = [] if file_before_colon() else _paths(incomplete, (".json",), has_folders=False)
    return [*_specs(incomplete), *plans]


def complete_subject(incomplete: str) -> list[str]:
    """Return what `rlc explain` explains: codes, or specs."""
    from compiler.explain import all_pages

    codes = [name for page in all_pages() for name in (page.code, page.id) if name]
    return [*_starting(codes, incomplete), *_specs(incomplete)]


def complete_field(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the fields and tables of the spec that the command line names, one part of their paths at a time."""
    return _by_parts(_fields_of(str(ctx.params.get("subject") or "")), incomplete)


def complete_setting(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return paths that --set takes, with the equals sign behind a whole one."""
    from compiler.ir.spec_tables import spec_keys
    from rlc.catalogue import scan

    keys = spec_keys(scan())
    tables = {path.rpartition(".")[0] for path in keys}
    paths = [path for path, key in keys.items() if not key.is_derived and path not in tables]
    given = ctx.params.get("spec") or ctx.params.get("subject")
    paths += [path for path in _fields_of(str(given)) if path.startswith("stages.")] if given else []
    return [path if path.endswith(".") else f"{path}=" for path in _by_parts(paths, incomplete)]


def complete_artefact(incomplete: str) -> list[str]:
    """Return names of artefacts."""
    from compiler.emit.artefacts.catalogue import artefacts

    return _starting([artefact.name for artefact in artefacts()], incomplete)


def complete_recipe(incomplete: str) -> list[str]:
    """Return names of recipes."""
    return _library("recipes", incomplete)


def complete_model(incomplete: str) -> list[str]:
    """Return names of models."""
    return _library("models", incomplete)


def complete_gpu(incomplete: str) -> list[str]:
    """Return names of GPUs."""
    from rlc.catalogue import load_hardware

    return _starting(load_hardware(), incomplete)


def complete_target(incomplete: str) -> list[str]:
    """Return names of targets."""
    from rlc.catalogue import scan

    return _starting(scan().targets, incomplete)


def _specs(incomplete: str) -> list[str]:
    before = file_before_colon()
    if before:
        return _starting(_experiments(before), incomplete)
    if _MARK in incomplete:
        file = incomplete[: incomplete.rindex(_MARK) + len(_MARK) - 1]
        return _starting((f"{file}:{name}" for name in _experiments(file)), incomplete)
    return _paths(incomplete, _SPECS)


def _library(kind: str, incomplete: str) -> list[str]:
    from compiler.diagnostics.diagnostic import SpecError
    from rlc.catalogue import scan
    from rlc.library import labels_of, roots_here

    catalogue = scan()
    try:
        roots = roots_here(catalogue)
    except SpecError:
        roots = ()
    return _starting((label.removeprefix(f"//{kind}:") for label in labels_of(kind, catalogue, roots)), incomplete)


def _fields_of(spec: str) -> Sequence[str]:
    from compiler.compile import compile_spec
    from compiler.explain import Explainer
    from rlc.catalogue import scan

    subject = compile_spec(Path(spec), scan()).subject
    if subject is None:
        return ()
    explainer = Explainer(subject)
    return tuple(dict.fromkeys(explainer.shown(path) for path in explainer.paths))


def _experiments(file: str) -> list[str]:
    from compiler.compile import experiments_of
    from compiler.frontend.session import Session
    from rlc.catalogue import scan

    catalogue = scan()
    return [name for name in experiments_of(Path(file), Session(catalogue.stdlib, catalogue.cache)) if name]


def _paths(incomplete: str, suffixes: tuple[str, ...], *, has_folders: bool = True) -> list[str]:
    """Files of some kinds, and folders with a slash behind; hidden ones only where a dot is typed."""
    folder, _, stem = incomplete.rpartition("/")
    shown = f"{folder}/" if "/" in incomplete else ""
    try:
        entries = sorted(os.scandir(shown or "."), key=lambda entry: entry.name)
    except OSError:
        return []
    found: list[str] = []
    for entry in entries:
        if not entry.name.startswith(stem) or (entry.name.startswith(".") and not stem.startswith(".")):
            continue
        if entry.is_dir():
            found += [f"{shown}{entry.name}/"] if has_folders else []
        elif entry.name.endswith(suffixes):
            found.append(shown + entry.name)
    return found


def _by_parts(paths: Iterable[str], incomplete: str) -> list[str]:
    """The next part of each path that begins like this: `optim.` stands for all that is in it."""
    found: dict[str, None] = {}
    for path in paths:
        if path.startswith(incomplete):
            end = path.find(".", len(incomplete))
            found[path if end < 0 else path[: end + 1]] = None
    if len(found) == 1 and (only := next(iter(found))).endswith(".") and only != incomplete:
        return _by_parts(paths, only)
    return list(found)


def _starting(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]
