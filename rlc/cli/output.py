"""Where verbs print: results to standard output, diagnostics to standard error, with or without colour."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from compiler.diagnostics.annotations import Literal, TextIO, TypeAlias
from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.diagnostics.named_tuple import NamedTuple
from rlc.environ import no_color

ColorChoice: TypeAlias = Literal["auto", "always", "never"]


class ReaderGoneError(Exception):
    """Whoever reads standard output has read enough, as `head` does."""


class Output(NamedTuple):
    """How this command line wants to be answered: diagnostics on standard error, results on standard output."""

    color: bool
    ascii_only: bool
    result_color: bool = False
    result_ascii_only: bool = False

    def result(self, text: str) -> None:
        """Print a result.  Raises: SpecError RLC0022 if it cannot be written, ReaderGoneError if nobody reads on."""
        line = text if text.endswith("\n") else text + "\n"
        try:
            try:
                sys.stdout.write(line)
            except UnicodeEncodeError:
                sys.stdout.write(_in_ascii(line))
            sys.stdout.flush()
        except BrokenPipeError as fault:
            raise ReaderGoneError from fault
        except OSError as fault:
            message = f"standard output cannot be written: {fault.strerror}"
            raise SpecError(Diagnostic("RLC0022", message)) from fault

    def error(self, text: str) -> None:
        """Print to standard error."""
        sys.stderr.write(text)

    def diagnostics(self, found: Sequence[Diagnostic], *, as_json: bool = False) -> int:
        """Print diagnostics and return the exit code that they stand for: 1 if one is an error, else 0."""
        if as_json:
            from compiler.diagnostics.json_ import render_json

            self.result(render_json(found))
        elif found:
            from compiler.diagnostics.text import render

            for at, diagnostic in enumerate(found):
                self.error("\n" * (at > 0) + render(diagnostic, color=self.color, ascii_only=self.ascii_only) + "\n")
        return 1 if any(d.severity == "error" for d in found) else 0


def choose_output(color: ColorChoice, *, ascii_only: bool) -> Output:
    """Return how to print on each stream: colour on a terminal unless NO_COLOR says otherwise."""
    return Output(
        color=_is_colored(sys.stderr, color),
        ascii_only=ascii_only or not _takes_unicode(sys.stderr),
        result_color=_is_colored(sys.stdout, color),
        result_ascii_only=ascii_only or not _takes_unicode(sys.stdout),
    )


def _in_ascii(text: str) -> str:
    """Characters that the stream does not have as escapes, so that JSON stays JSON."""
    import json

    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)


def _is_colored(stream: TextIO, color: ColorChoice) -> bool:
    return color == "always" or (color == "auto" and stream.isatty() and not no_color())


def _takes_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "ascii").lower().startswith("utf")
