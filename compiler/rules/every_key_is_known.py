"""Every key of a spec is known.

What: a key that no table of the schema has is an error, in tables, in stages and on the command line.
Why it matters: a misspelt key that is silently dropped trains with a default for hours, and nobody notices.
Example: `[rollout] samples_per_promt = 8` is refused and `samples_per_prompt` offered.
Fix: use the offered name, or `rlc explain SPEC` to see what a table may hold.
Source: CFG-01; verl, NeMo-RL and torchforge issue threads on keys that were ignored.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import edit_distance, nearest_names
from compiler.ir.subject import Subject, UnreadKey
from compiler.rules._ambiguous_sizes import MEANINGS

CODE = "RLC0201"
ID = "CFG-01"

_MOST_SUGGESTIONS = 100  # a file with more unknown keys is not misspelt: it is no spec


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report every key that no schema has, with the nearest name in the same table first, then elsewhere."""
    for nth, key in enumerate(subject.unread):
        name = key.path.rpartition(".")[2]
        if key.why == "unknown" and name not in MEANINGS:
            yield Diagnostic(
                CODE,
                f"there is no field {key.path}",
                (Label(key.key, "unknown key", True),),
                _suggest(key, name) if nth < _MOST_SUGGESTIONS else (),
                rule=ID,
                paths=(key.path,),
            )
        elif key.why == "derived":
            yield Diagnostic(
                CODE,
                f"{key.path} is computed by the compiler and cannot be set",
                (Label(key.key, "always derived", True),),
                (Help("leave it out", removes=True),),
                rule=ID,
                paths=(key.path,),
            )


def _suggest(key: UnreadKey, name: str) -> tuple[Help, ...]:
    near = nearest_names(name, key.siblings, most=2)
    table = key.path.rpartition(".")[0]
    # Of two names that are equally near a tool cannot choose one.
    best = near[0] if len(near) == 1 or (near and _distance(name, near[0]) < _distance(name, near[1])) else ""
    shown = [(n, f"{table}.{n}" if table else n) for n in near]
    helps = [Help(f"did you mean `{path}`?", renamed=n if n == best else "") for n, path in shown]
    if not near:
        by_leaf = {path.rpartition(".")[2]: path for path in reversed(key.elsewhere)}
        for leaf in nearest_names(name, by_leaf, most=2):
            holder, _, _ = by_leaf[leaf].rpartition(".")
            place = f"in [{holder}]" if holder else "at the top of the spec"
            helps.append(Help(f"`{leaf}` exists {place}"))
    if not helps:
        # Other tools join a table and its key in one name: kl_coef is loss.kl.coef.
        joined = {"_".join(path.split(".")[-2:]): path for path in reversed(key.elsewhere) if "." in path}
        helps = [Help(f"did you mean `{joined[n]}`?") for n in nearest_names(name, joined, most=2)]
    if not helps and key.siblings:
        where = f"[{table}]" if table else "the top of a spec"
        helps.append(Help(f"{where} may hold: {', '.join(sorted(key.siblings))}"))
    return tuple(helps[:3])


def _distance(name: str, other: str) -> int:
    return edit_distance(name, other, limit=len(name))
