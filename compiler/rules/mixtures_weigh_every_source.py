"""Mixtures weigh every source.

What: of several sources either each has a `weight` or none; with a stream among them each has one; a single source has
none.
Why it matters: sources without weights are read one after another, which an endless stream never lets happen, and a
weight beside sources without one has no share to be compared with.
Example: two `[[data.train]]`, `weight = 3.0` in the first only.
Fix: a weight for each: rows are drawn in proportion to them.
Source: the language's rule that nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help
from compiler.ir.openness import Off
from compiler.ir.subject import StageSubject, Subject
from compiler.rules._data_sources import PlacedSource, sources_of

CODE = "RLC0364"
ID = ""


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report weights that are missing, or have nothing beside them."""
    for stage in subject.stages():
        sources = [placed for placed in sources_of(stage) if placed.trains]
        weighted = [placed for placed in sources if not isinstance(placed.source.__dict__["weight"], Off)]
        streams = [placed for placed in sources if placed.is_stream]
        if len(sources) == 1 and weighted:
            path = f"{weighted[0].path}.weight"
            labels = stage.labels((path, "a share of what?"))
            way = Help("leave it out, or add the other source")
            message = f"{weighted[0].source.called} has a weight, and is the only source"
            yield Diagnostic(CODE, message, labels, (way,), paths=(stage.path(path),))
        elif weighted and len(weighted) < len(sources):
            yield _unweighted(stage, sources, weighted, "of several sources some have a weight")
        elif len(sources) > 1 and streams and not weighted:
            message = f"{streams[0].source.called} streams, and what comes after it has no turn"
            yield _unweighted(stage, sources, weighted, message)


def _unweighted(
    stage: StageSubject, sources: list[PlacedSource], weighted: list[PlacedSource], message: str
) -> Diagnostic:
    missing = [placed for placed in sources if placed not in weighted]
    names = ", ".join(placed.source.called for placed in missing)
    labels = [(f"{placed.path}.weight", "has one") for placed in weighted[:1]]
    labels += [(f"{missing[0].path}.{name}", "has no weight") for name in ("path", "hub", "function")]
    return Diagnostic(
        CODE,
        f"{message}, and there is none for {names}" if weighted else message,
        stage.labels(*labels),
        (Help(f"write weight = 1.0 beside {names}"),),
        paths=tuple(stage.path(f"{placed.path}.weight") for placed in missing),
    )
