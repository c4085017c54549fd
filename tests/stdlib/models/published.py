"""What publishers say of the parameters of the library's models: published.csv, in billions.

total, active: as the publisher names them; of a name the digits that it has.
counts: what the total holds besides the model.
without_embeddings: the total without embedding table and output layer.
stored: numbers in the published weights, as the Hugging Face hub counts them (`safetensors.total` of a repository).
stores: what the weights hold besides the model: the layer for multi-token prediction, with or without embedding table
and output layer of its own; the output layer of a model that is tied to its embeddings; a vision tower.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import NamedTuple

from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.planner.parameters import parameters_of


class Published(NamedTuple):
    """One line of published.csv; an empty cell is an empty text."""

    model: str
    total: str
    active: str
    counts: str
    without_embeddings: str
    stored: str
    stores: str
    source: str


PUBLISHED = {
    row["model"]: Published(**row)
    for row in csv.DictReader((Path(__file__).parent / "published.csv").read_text(encoding="utf-8").splitlines())
}


def has_its_digits(counted: int, published: str) -> bool:
    """Whether a count is a published number of billions to its last digit, which publishers round or cut."""
    digits = len(published.partition(".")[2])
    billions = counted / 1e9
    is_cut = math.floor(billions * 10**digits) == round(float(published) * 10**digits)
    return round(billions, digits) == float(published) or is_cut


def agrees(counted: int, published: str) -> bool:
    """Whether a count is a published number of billions: to 1 %, or, where it has too few digits for that, to these."""
    return abs(counted / 1e9 - float(published)) <= 0.01 * float(published) or has_its_digits(counted, published)


def prediction_layer(model: Model[object]) -> int:
    """Parameters of a layer for multi-token prediction: one more layer, what joins two vectors, and three norms."""
    one = model.replacing(linear_attention=OFF)
    if not isinstance(one.indexer, Off):
        one = one.replacing(indexer=one.indexer.replacing(pick_interval=1))
    more = parameters_of(one.replacing(num_layers=one.num_layers + 1)).total - parameters_of(one).total
    return more + 2 * model.hidden_size**2 + 3 * model.hidden_size


def embeddings(model: Model[object]) -> int:
    """Parameters of the embedding table and the output layer."""
    return model.vocab_size * model.hidden_size * (1 if model.tie_embeddings else 2)
