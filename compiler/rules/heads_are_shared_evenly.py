"""Key and value heads are shared evenly.

What: num_heads is a multiple of num_kv_heads, and the width of a head is even.
The same is asked of `[teacher]`.
Why it matters: each key and value head serves the same number of query heads, and a rotary embedding turns channels in
pairs; other numbers fail in the first forward pass, with a shape that names neither field.
Example: `num_heads = 6` with `num_kv_heads = 4`.
Fix: take a divisor of num_heads; all of these numbers stand in the model's own config.json.
Source: PAR-02, the part that one device can break.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, alternatives
from compiler.ir.subject import Subject
from compiler.rules._every_model import of_every_model
from compiler.rules._gpu_layout import fix, near_divisors

CODE = "RLC0316"
ID = "PAR-02"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report heads that cannot be shared, and heads of an odd width."""
    yield from of_every_model(subject, _check)


def _check(subject: Subject) -> Iterator[Diagnostic]:
    model = subject.experiment.model
    query, shared, width = model.num_heads, model.num_kv_heads, model.head_dim
    if query % shared:
        yield Diagnostic(
            CODE,
            f"{query:,} query heads cannot share {shared:,} key and value heads evenly",
            subject.labels(("model.num_heads", f"{query:,} query heads"), ("model.num_kv_heads", "not a divisor")),
            alternatives(*(fix("model.num_kv_heads", n) for n in near_divisors(query, shared))),
            rule=ID,
            paths=("model.num_heads", "model.num_kv_heads"),
        )
    if width % 2:
        yield Diagnostic(
            CODE,
            f"a head of {width:,} channels cannot be turned in pairs",
            subject.labels(("model.head_dim", "an odd number of channels")),
            alternatives(*(fix("model.head_dim", n) for n in (width - 1, width + 1) if n >= 2)),
            rule=ID,
            paths=("model.head_dim",),
        )
