"""Sizes name what they count.

What: a size that does not say whether it counts prompts, samples or tokens, or over which scope, is refused.
Why it matters: "batch size" is a prompt count in one framework, a sample count in the next and a per-device factor in
a third; a number carried over under the same word changes the training by the size of a group.
Example: `[train] batch_size = 256` is refused; `train.global_batch = 256` says samples of one optimizer step.
Fix: use the field whose unit you mean; the message lists the candidates.
Source: BATCH-02; slime#39, verl#180, verl#1524, EasyR1#6, OpenRLHF#304.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.ir.subject import Subject
from compiler.rules._ambiguous_sizes import MEANINGS

CODE = "RLC0302"
ID = "BATCH-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report keys that are a size without a unit, with what they may mean."""
    for key in subject.unread:
        name = key.path.rpartition(".")[2]
        if key.why == "unknown" and name in MEANINGS:
            yield Diagnostic(
                CODE,
                f"{key.path} does not say what it counts",
                (Label(key.key, "of what?", True),),
                tuple(Help(f"{field} counts {unit}") for field, unit in MEANINGS[name]),
                rule=ID,
                paths=(key.path,),
            )
