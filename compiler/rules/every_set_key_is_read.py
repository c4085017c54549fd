"""Every key that is set is read by something.

What: a key that the schema knows but that no component of this experiment consumes is an error.
Why it matters: an inert key looks like a setting.  A learning-rate floor beside a constant schedule, or a clip range in
a supervised stage, changes nothing, and the person who wrote it believes that it does.
Example: `[optim] name = "sgd"` with `beta2 = 0.95`: SGD has no second moment.
Fix: delete the key, or choose what reads it; the message names that.
Source: CFG-02; dozens of threads on options that another option silently disables.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.ir.provenance import WRITTEN
from compiler.ir.subject import Subject

CODE = "RLC0202"
ID = "CFG-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report unread keys of the experiment's own file and of --set; a recipe may bring more than is used.

    What holds for the whole run is reported in a stage's recipe too: no stage could ever read it there.
    """
    for key in subject.unread:
        if (key.why == "inert" and key.origin in WRITTEN) or key.why == "misplaced":
            yield Diagnostic(
                CODE,
                f"{key.path} is set, and nothing in this experiment reads it",
                (Label(key.key, "has no effect", True),),
                (*(Help(f"it is read {reader}") for reader in key.readers[:2]), Help("or delete it", removes=True)),
                rule=ID,
                paths=(key.path,),
            )
