"""All sources of rows that a stage reads, with the path that leads to each."""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.data import PreferenceSource, ScoredSource, TextSource, TrainSource
from compiler.ir.evaluated import held_out_lists
from compiler.ir.openness import Auto
from compiler.ir.subject import StageSubject


class PlacedSource(NamedTuple):
    """A source and where it stands in its stage, such as `data.train.0`."""

    path: str
    source: TextSource[Auto]

    @property
    def trains(self) -> bool:
        """Whether it is trained on, and not measured on."""
        return self.path.startswith("data.")

    @property
    def form(self) -> str:
        """How its rows are stored, or nothing where nobody knows."""
        if isinstance(self.source.hub, str):
            return "hub"
        if isinstance(self.source.function, str):
            return "function"
        return self.source.format if isinstance(self.source.format, str) else ""

    @property
    def is_stream(self) -> bool:
        """Whether its rows are read in order while the run goes on."""
        source = self.source
        if not self.trains:
            return False
        streams = isinstance(source, (TrainSource, PreferenceSource, ScoredSource)) and source.streaming
        return streams or isinstance(source.function, str)


def sources_of(stage: StageSubject) -> Iterator[PlacedSource]:
    """Yield the sources to train on, and then those to measure on."""
    for index, source in enumerate(stage.stage.data.train):
        yield PlacedSource(f"data.train.{index}", source)
    for name, sets in held_out_lists(stage.stage.eval):
        for index, measured in enumerate(sets):
            yield PlacedSource(f"eval.{name}.{index}", measured)
