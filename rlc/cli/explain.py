"""`rlc explain`: the page of a code, or why a field has its value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from rlc.cli.completion import complete_field, complete_setting, complete_subject
from rlc.cli.output import Output

if TYPE_CHECKING:
    from compiler.compile import Compiled
    from compiler.diagnostics.diagnostic import Diagnostic
    from compiler.explain import Explainer


def explain(
    context: typer.Context,
    subject: str = typer.Argument(
        autocompletion=complete_subject, help="A code (RLC0301), a rule's id (BATCH-01), or a spec."
    ),
    field: str | None = typer.Argument(
        None, autocompletion=complete_field, help="A field of the spec, such as train.steps_per_rollout, or a table."
    ),
    sets: list[str] = typer.Option(
        [], "--set", metavar="PATH=VALUE", autocompletion=complete_setting, help="Set one field; may be repeated."
    ),
    shrink: bool = typer.Option(False, "--shrink", help="Explain the spec as --shrink changes it."),
    as_json: bool = typer.Option(False, "--json", help="Print the derivation as JSON."),
) -> int:
    """Explain a code, or a value of a spec.  Of a value: where it came from, and what depends on it."""
    output: Output = context.obj
    if field is None and "." not in subject and "/" not in subject:
        if sets or as_json or shrink:
            raise typer.BadParameter(f"--set, --shrink and --json are about a spec, and {subject} is a code")
        return _page(subject, output)
    from compiler.compile import compile_spec
    from rlc.catalogue import scan

    return _value(compile_spec(Path(subject), scan(), overrides=sets, shrink=shrink), field, output, as_json=as_json)


def _page(name: str, output: Output) -> int:
    from compiler.diagnostics.diagnostic import Diagnostic, Help
    from compiler.explain import nearest_codes, pages_of

    pages = pages_of(name)
    if pages:
        output.result("\n".join(page.text for page in pages))
        return 0
    helps = tuple(Help(f"did you mean {code}?") for code in nearest_codes(name)) or (Help("rlc rules lists all codes"),)
    return output.diagnostics([Diagnostic("RLC0019", f"there is no code or rule {name}", help=helps)])


def _value(compiled: Compiled, field: str | None, output: Output, *, as_json: bool) -> int:
    from compiler.explain import Explainer

    code = output.diagnostics(compiled.diagnostics)
    if compiled.subject is None:
        return code
    return _fields(Explainer(compiled.subject, broken=compiled.broken), field, output, as_json=as_json) or code


def _fields(explainer: Explainer, field: str | None, output: Output, *, as_json: bool) -> int:
    from compiler.explain import to_json
    from compiler.ir.canonical import dump
    from rlc.cli.explain_text import fields_text, table_text

    fields = explainer.fields_called(field) if field is not None else ()
    paths = fields or (explainer.paths if field is None else explainer.fields_of_table(field))
    if field is not None and not paths:
        return output.diagnostics([_no_field(explainer, field)])
    if as_json:
        output.result(dump(to_json(explainer, paths)))
    elif fields:
        output.result(fields_text(explainer, fields, ascii_only=output.result_ascii_only))
    else:
        output.result(table_text(explainer, paths, ascii_only=output.result_ascii_only))
    return 0


def _no_field(explainer: Explainer, field: str) -> Diagnostic:
    from compiler.diagnostics.diagnostic import Diagnostic, Help
    from compiler.ir.spec_tables import spec_keys

    key = field.split(".", 2)[2] if field.startswith("stages.") and field.count(".") > 1 else field
    known = spec_keys(explainer.subject.catalogue).get(key)
    helps = [Help(f"it is read by {reader}") for reader in (known.readers if known is not None else ())]
    helps += [Help(f"did you mean {name}?") for name in explainer.nearest(field)]
    helps = helps or [Help("leave the field out to see all of them")]
    return Diagnostic("RLC0019", f"this experiment has no field {field}", help=tuple(helps))
