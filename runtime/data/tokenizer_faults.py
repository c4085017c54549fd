"""What is said of a tokenizer that does not fit its model, has no chat template, or whose template refuses messages."""

from __future__ import annotations

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError


def misfit(message: str, way_out: str) -> SpecError:
    """Return RLC0607."""
    return SpecError(Diagnostic(code="RLC0607", message=message, help=(Help(way_out),), paths=("model.tokenizer",)))


def no_template(message: str) -> SpecError:
    """Return RLC0604."""
    ways = "give prompts as text and leave apply_chat_template off", "use a tokenizer that has a chat template"
    return SpecError(
        Diagnostic(
            code="RLC0604", message=message, help=tuple(map(Help, ways)), paths=("data.train", "model.tokenizer.kind")
        )
    )


def refused(message: str) -> SpecError:
    """Return RLC0608."""
    return SpecError(Diagnostic(code="RLC0608", message=message, paths=("data.train",)))
