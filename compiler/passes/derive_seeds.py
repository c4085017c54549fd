"""Derives the seeds of a stage's random streams from run.seed by a counter.

Never from the plan hash: two plans that differ in a learning rate see the same data and draw the same noise.
"""

from __future__ import annotations

from compiler.ir.catalogue import Catalogue
from compiler.ir.experiment import Experiment, Seeds
from compiler.ir.openness import Auto
from compiler.ir.provenance import Provenance
from compiler.passes._each_stage import StageEditor, each_stage

_STREAMS = ("data", "sampling", "evaluation", "minibatch")


def derive_seeds(experiment: Experiment[Auto], origins: Provenance, _: Catalogue) -> Experiment[Auto]:
    """Give every stage one seed for each stream."""

    def edit(editor: StageEditor) -> None:
        numbers = {
            name: stream_seed(experiment.run.seed, editor.index * len(_STREAMS) + i) for i, name in enumerate(_STREAMS)
        }
        editor.derive("seeds", Seeds(**numbers))
        for name in _STREAMS:
            editor.derive(f"seeds.{name}", numbers[name], inputs=("/run.seed",))

    return each_stage(experiment, origins, edit, by="derive_seeds")


def stream_seed(seed: int, counter: int) -> int:
    """Return the counter-th number of the splitmix64 sequence of a seed, without its sign bit.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014, figure 17.
    """
    word = (1 << 64) - 1
    z = (seed + (counter + 1) * 0x9E3779B97F4A7C15) & word
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
    return (z ^ (z >> 31)) >> 1
