"""Every model of the library: its parameters, counted from its facts, are those that its publisher names."""

from __future__ import annotations

import pytest

from compiler.ir.openness import Off
from compiler.planner.memory.kv_cache import kv_bytes_per_token
from compiler.planner.parameters import parameters_of
from tests.stdlib.models.library import NAMES, facts_of
from tests.stdlib.models.published import PUBLISHED, agrees, embeddings, has_its_digits, prediction_layer

# Parts of DeepSeek-V3, made for tests; nobody published them as models.
CUTS = {"deepseek_v3_20layer", "deepseek_v3_5layer"}


def test_every_model_is_published_or_a_part_of_one_that_is() -> None:
    assert sorted(PUBLISHED) == list(PUBLISHED)
    assert set(NAMES) == set(PUBLISHED) | CUTS
    assert all(published.source for published in PUBLISHED.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_model_has_the_parameters_that_its_publisher_names(name: str) -> None:
    """Publishers differ in whether the embedding table, of which a token looks up one row, is passed through."""
    model, published = facts_of(name), PUBLISHED[name]
    counted = parameters_of(model)
    beside = prediction_layer(model) if published.counts == "prediction" else 0
    assert agrees(counted.total + beside, published.total), counted.total
    table = model.vocab_size * model.hidden_size
    ways = [counted.active + beside, counted.active + beside - table]
    assert any(agrees(way, published.active) for way in ways), ways


@pytest.mark.parametrize("name", [n for n, p in PUBLISHED.items() if p.without_embeddings])
def test_a_model_has_the_parameters_that_its_publisher_names_without_embeddings(name: str) -> None:
    model = facts_of(name)
    assert agrees(parameters_of(model).total - embeddings(model), PUBLISHED[name].without_embeddings)


def test_moonlight_activates_what_its_report_says_without_embeddings() -> None:
    model = facts_of("moonlight_16b_a3b")
    assert has_its_digits(parameters_of(model).active - embeddings(model), "2.24")


@pytest.mark.parametrize("name", NAMES)
def test_the_library_says_what_is_published(name: str) -> None:
    model = facts_of(name)
    if name in CUTS:
        assert isinstance(model.published_parameters, Off)
        assert isinstance(model.published_active_parameters, Off)
        return
    published = PUBLISHED[name]
    assert model.published_parameters == float(published.total)
    assert model.published_active_parameters == float(published.active)


def test_a_number_agrees_to_one_percent_or_to_its_last_digit() -> None:
    assert agrees(3_353_000_000, "3.3")  # cut
    assert agrees(3_260_000_000, "3.3")  # rounded
    assert not agrees(3_410_000_000, "3.3")
    assert agrees(237_300_000_000, "235")
    assert not agrees(237_400_000_000, "235")
    assert has_its_digits(32_566_081_536, "32.566081536")
    assert not has_its_digits(32_566_081_537, "32.566081536")


# Bytes of keys and values of one token in bf16, as the field's own tables have them for models of the library.
CACHED = {
    "llama3_2_1b": 32768,
    "llama3_1_8b": 131072,
    "llama3_1_70b": 327680,
    "llama3_1_405b": 516096,
    "qwen2_5_7b": 57344,
    "qwen2_5_32b": 262144,
    "qwen2_5_72b": 327680,
    "qwen3_0_6b": 114688,
    "qwen3_1_7b": 114688,
    "qwen3_4b": 147456,
    "qwen3_8b": 147456,
    "qwen3_14b": 163840,
    "qwen3_32b": 262144,
    "qwen3_30b_a3b": 98304,
    "qwen3_235b_a22b": 192512,
    "glm4_5_106b_a12b": 188416,
    "glm4_5_355b_a32b": 376832,
    "deepseek_v3": 70272,
    "deepseek_r1": 70272,
    "kimi_k2": 70272,
    "moonlight_16b_a3b": 31104,
    # By hand: one layer of four, 2 heads of 256; 78 latent vectors of 576, and 21 of 78 keys of an indexer of 128.
    "qwen3_next_80b_a3b": 2 * 12 * 2 * 256 * 2,
    "glm5_744b_a40b": (78 * 576 + 78 * 128) * 2,
    "glm5_2_744b_a40b": (78 * 576 + 21 * 128) * 2,
}


@pytest.mark.parametrize(("name", "bytes_per_token"), CACHED.items())
def test_the_cache_of_a_token_is_as_published(name: str, bytes_per_token: int) -> None:
    assert kv_bytes_per_token(facts_of(name), 2) == bytes_per_token
