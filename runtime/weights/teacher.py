"""The weights and the tokenizer of a teacher, as they are needed before a run."""

from __future__ import annotations

from pathlib import Path
from typing import Never

from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.algorithm import Teacher
from runtime.data.huggingface_tokenizer import HuggingFaceTokenizer
from runtime.data.tokenizers import TextTokenizer, load_tokenizer
from runtime.weights.initial import initial_weights

_SHOWN = 3


def teacher_weights(teacher: Teacher[Never], *, root: Path, seed: int) -> dict[str, Tensor]:
    """Return the float32 weights by name; random ones are drawn from the seed behind the model's.

    Raises: SpecError as initial_weights, about [teacher].
    """
    try:
        return initial_weights(teacher, root=root, seed=seed + 1)
    except SpecError as error:
        raise _about_the_teacher(error) from error


def check_teacher(teacher: Teacher[Never], tokenizer: TextTokenizer, *, root: Path) -> None:
    """Look whether every token of the model is the same one for the teacher.

    Only tokenizers of files are read: of the others the plan says everything.  Raises: SpecError RLC0653 if a token has
    another id, or is missing on one side.
    """
    if not isinstance(tokenizer, HuggingFaceTokenizer):
        return
    try:
        other = load_tokenizer(teacher, root=root)
    except SpecError as error:
        raise _about_the_teacher(error) from error
    if not isinstance(other, HuggingFaceTokenizer):
        return
    ours, theirs = tokenizer.vocabulary(), other.vocabulary()
    differing = sorted(word for word in ours.keys() | theirs.keys() if ours.get(word) != theirs.get(word))
    if differing:
        shown = ", ".join(f"{w!r} ({ours.get(w, 'none')} and {theirs.get(w, 'none')})" for w in differing[:_SHOWN])
        raise SpecError(
            Diagnostic(
                "RLC0653",
                f"{len(differing):,} tokens have another id in the teacher's tokenizer than in the model's: {shown}",
                help=(Help("take a teacher with the model's own tokenizer"),),
                paths=("teacher.weights",),
            )
        )


def _about_the_teacher(error: SpecError) -> SpecError:
    """The same faults, of [teacher] instead of [model]."""
    return SpecError(
        *(
            d._replace(
                message=f"the teacher: {d.message}",
                help=tuple(h._replace(text=h.text.replace("model.", "teacher.")) for h in d.help),
                paths=tuple(path.replace("model.", "teacher.", 1) for path in d.paths),
            )
            for d in error.diagnostics
        )
    )
