"""The published weights of a model hold as many numbers as its facts give, to the last digit that is known."""

from __future__ import annotations

import pytest
import torch
from transformers.models.qwen3_5.configuration_qwen3_5 import Qwen3_5VisionConfig
from transformers.models.qwen3_5.modeling_qwen3_5 import Qwen3_5VisionModel

from compiler.ir.model import Model
from compiler.planner.parameters import parameters_of
from tests.stdlib.models.library import facts_of
from tests.stdlib.models.published import PUBLISHED, embeddings, has_its_digits, prediction_layer

pytestmark = pytest.mark.torch

# Depth, width, inner width and heads of the vision towers of small models; larger ones have the defaults of the class.
SMALL_TOWERS = {"qwen3_5_0_8b": (12, 768, 3072, 12), "qwen3_5_4b": (24, 1024, 4096, 16)}
DEFAULT_TOWER = (27, 1152, 4304, 16)


def vision_tower(name: str, model: Model[object]) -> int:
    depth, width, inner, heads = SMALL_TOWERS.get(name, DEFAULT_TOWER)
    config = Qwen3_5VisionConfig(
        depth=depth, hidden_size=width, intermediate_size=inner, num_heads=heads, out_hidden_size=model.hidden_size
    )
    with torch.device("meta"):
        return sum(p.numel() for p in Qwen3_5VisionModel(config).parameters())


@pytest.mark.parametrize("name", [n for n, p in PUBLISHED.items() if p.stored])
def test_the_published_weights_hold_what_the_facts_give(name: str) -> None:
    model, published = facts_of(name), PUBLISHED[name]
    stores = published.stores.split()
    numbers = parameters_of(model).total
    if "prediction" in stores:
        assert model.num_mtp_layers == 1
        numbers += prediction_layer(model)
    if "embeddings" in stores or "head" in stores:
        numbers += embeddings(model)
    if "vision" in stores:
        numbers += vision_tower(name, model)
    assert has_its_digits(numbers, published.stored), numbers
