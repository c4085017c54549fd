"""`rlc models`: the models of the standard library and of the further roots here, or every fact of one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from rlc.cli.completion import complete_model
from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.ir.json_text import Json
    from rlc.models import LibraryModel


def models(
    context: typer.Context,
    name: str | None = typer.Argument(
        None, autocompletion=complete_model, help="A model, such as qwen3_4b: prints all of its facts."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print it as JSON."),
) -> int:
    """List models, or print the facts of one.

    They are those of the standard library and of the roots that rlc.toml names.
    """
    from compiler.ir.canonical import dump
    from rlc.catalogue import scan
    from rlc.cli.table import aligned
    from rlc.library import roots_here
    from rlc.models import read_model, read_models

    output: Output = context.obj
    catalogue = scan()
    roots = roots_here(catalogue)
    found = read_models(catalogue, roots) if name is None else (read_model(name, catalogue, roots),)
    if as_json:
        output.result(dump([_json(model) for model in found]))
    elif name is None:
        output.result(aligned([_HEAD, *map(_row, found)]))
    else:
        output.result(aligned(_facts(found[0])))
    return 0


_HEAD = ("name", "family", "layers", "parameters", "active", "context", "Hugging Face")
# What an experiment decides, and no model of the library.
_DECIDED = ("name", "hf", "weights", "init_std", "overrides")


def _row(model: LibraryModel) -> tuple[str, ...]:
    facts = model.facts
    active = "" if model.active_parameters == model.parameters else _short(model.active_parameters)
    hub = facts.hf_id if isinstance(facts.hf_id, str) else ""
    counts = (str(facts.num_layers), _short(model.parameters), active, f"{facts.max_position_tokens:,}")
    return (model.name, facts.family, *counts, hub)


def _facts(model: LibraryModel) -> list[tuple[str, str]]:
    from compiler.ir.openness import Off
    from compiler.ir.paths import fields_on_the_way, leaves
    from compiler.ir.subject import toml_literal

    rows = [
        ("write", f'model.name = "{model.label}"'),
        ("file", model.file),
        ("parameters", f"{model.parameters:,}"),
        ("active parameters", f"{model.active_parameters:,}"),
    ]
    for path, value in leaves(model.facts):
        if path.partition(".")[0] not in _DECIDED:
            *_, field = fields_on_the_way(model.facts, path)
            shown = "off" if isinstance(value, Off) else toml_literal(value)
            unit = f" {field.unit}" if field.unit and not isinstance(value, Off) else ""
            rows.append((path, f"{shown}{unit}"))
    return rows


def _json(model: LibraryModel) -> Json:
    from compiler.ir.canonical import encode

    fields = type(model.facts).fields()
    return {
        "label": model.label,
        "file": model.file,
        "parameters": model.parameters,
        "active_parameters": model.active_parameters,
        "facts": {name: encode(model.facts.__dict__[name]) for name in fields if name not in _DECIDED},
    }


def _short(number: int) -> str:
    """A count in thousands, millions, billions or trillions, with three digits at least."""
    for unit, name in ((10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "K")):
        if number >= unit:
            return f"{number / unit:.{max(0, 3 - len(str(number // unit)))}f} {name}"
    return str(number)
