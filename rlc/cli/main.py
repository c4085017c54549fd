"""The command line: verbs, exit codes, and the border behind which no traceback leaves.

Exit codes: 0 fine, 1 errors in the experiment, 2 wrong command line, 3 plan differs under --check, 4 the run failed,
130 interrupted with a checkpoint saved, 70 a fault of rlc itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Concatenate, Literal, ParamSpec

import typer

from compiler.diagnostics.diagnostic import SpecError
from rlc.cli.border import guarded
from rlc.cli.check import check
from rlc.cli.ckpt import convert, inspect
from rlc.cli.doctor import doctor
from rlc.cli.emit import emit
from rlc.cli.eval import evaluate
from rlc.cli.explain import explain
from rlc.cli.fmt import fmt
from rlc.cli.hardware import hardware
from rlc.cli.lsp import lsp
from rlc.cli.models import models
from rlc.cli.new import experiment, reward, rule
from rlc.cli.output import Output, choose_output
from rlc.cli.plan import plan
from rlc.cli.recipes import recipes
from rlc.cli.rules import rules
from rlc.cli.run import run
from rlc.cli.schema import schema
from rlc.cli.serve import serve
from rlc.cli.simulate import simulate
from rlc.environ import completing_shell, join_words_at_colons

P = ParamSpec("P")


def leave(code: int, **_: object) -> None:
    """End the process with the exit code that a verb returned."""
    raise typer.Exit(code)


app = typer.Typer(
    name="rlc",
    result_callback=leave,
    help="Compile reinforcement-learning experiments into plans, and run the plans.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def tell_version(asked: bool) -> None:
    """Print which rlc this is, for reports, and end."""
    if asked:
        from importlib.metadata import version

        typer.echo(f"rlc {version('rlc')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    color: Literal["auto", "always", "never"] = typer.Option(
        "auto", help="Colours: auto, always or never; NO_COLOR counts too."
    ),
    ascii_only: bool = typer.Option(False, "--ascii", help="Draw with ASCII characters only."),
    _: bool = typer.Option(False, "--version", help="Say which rlc this is.", is_eager=True, callback=tell_version),
) -> None:
    """Compile reinforcement-learning experiments into plans, and run the plans."""
    context.obj = choose_output(color, ascii_only=ascii_only)


def told(verb: Callable[Concatenate[typer.Context, P], int]) -> Callable[Concatenate[typer.Context, P], int]:
    """Return a verb whose diagnostics are drawn as its own command line says."""

    @wraps(verb)
    def call(context: typer.Context, *args: P.args, **options: P.kwargs) -> int:
        try:
            return verb(context, *args, **options)
        except SpecError as fault:
            output: Output = context.obj
            return output.diagnostics(fault.diagnostics)

    return call


for verb in (told(plan), told(simulate), told(run), told(check), told(fmt), told(explain), told(recipes)):
    app.command()(verb)
app.command()(told(emit))
app.command()(told(doctor))
app.command("eval")(told(evaluate))
app.command()(told(serve))
for verb in (told(models), told(rules), told(hardware), told(schema), told(lsp)):
    app.command()(verb)

new = typer.Typer(
    help="Write a file to begin with: an experiment, a rule or a reward.", no_args_is_help=True, rich_markup_mode=None
)
for verb in (told(experiment), told(rule), told(reward)):
    new.command()(verb)
app.add_typer(new, name="new")

ckpt = typer.Typer(
    help="Look at checkpoints, and write them in another form.", no_args_is_help=True, rich_markup_mode=None
)
for verb in (told(inspect), told(convert)):
    ckpt.command()(verb)
app.add_typer(ckpt, name="ckpt")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code."""

    def run_line() -> int:
        if completing_shell() == "bash":
            join_words_at_colons()
        try:
            app(list(argv) if argv is not None else None, prog_name="rlc")
        except SystemExit as end:  # Typer leaves this way, with code 2 and its own message for a wrong command line
            return end.code if isinstance(end.code, int) else 0
        raise AssertionError("a command line ends by leaving")

    return guarded(run_line, choose_output("auto", ascii_only=False))
