"""Every model of the library: its parameters, counted from its facts, are those that its publisher names."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.ir.experiment import Experiment
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.planner.memory import kv_bytes_per_token
from compiler.planner.parameters import parameters_of
from rlc.catalogue import scan

LIBRARY = Path(__file__).parents[3] / "stdlib" / "models"
CATALOGUE = scan()
NAMES = {
    name: path
    for path in sorted(LIBRARY.glob("*.star"))
    for name in re.findall(r"^def ([a-z]\w*)\(\*\*changes\)", path.read_text(encoding="utf-8"), re.MULTILINE)
}

SPEC = """use = ["//recipes:sft"]
name = "facts"
model = {{ name = "//models:{name}", weights = "random" }}
cluster.target = "cpu"
run.max_steps = 1
train = {{ global_batch = 1, micro_batch = 1 }}
data.train = [{{ path = "rows.jsonl" }}]
"""

# Publishers who do not count the embeddings among the parameters that a token passes through.
WITHOUT_EMBEDDINGS = {
    "glm4_5_106b_a12b",
    "glm4_5_355b_a32b",
    "glm4_6_355b_a32b",
    "glm4_7_30b_a3b",
    "glm4_7_355b_a32b",
    "glm5_2_744b_a40b",
    "glm5_744b_a40b",
    "minimax_m2",
    "qwen3_next_80b_a3b",
}
# The head is a matrix product of every token, the embedding table a look-up.
WITHOUT_EMBEDDING_TABLE = {"deepseek_r1", "deepseek_v3", "deepseek_v3_1"}
# Parts of DeepSeek-V3, made for tests; nobody published them as models.
CUTS = {"deepseek_v3_20layer", "deepseek_v3_5layer"}
# The card counts the layer for multi-token prediction: one layer, and the projection of two vectors into one.
WITH_PREDICTION_LAYER = {"mimo_7b_rl"}
# The report counts 61 layers with experts; in the checkpoint the first has none.
AS_IF_ALL_LAYERS_HAD_EXPERTS = {"kimi_k2", "kimi_k2_thinking"}
# The card repeats the numbers of the model before it, in which every layer has an indexer.
AS_IF_ALL_LAYERS_HAD_INDEXERS = {"glm5_2_744b_a40b"}


def facts_of(name: str, folder: Path) -> Model[object]:
    spec = folder / "spec.toml"
    spec.write_text(SPEC.format(name=name))
    subject = compile_spec(spec, CATALOGUE).subject
    assert subject is not None
    experiment: Experiment[object] = subject.experiment
    return experiment.model


def agrees(counted: int, published: float) -> bool:
    """Whether a count is a published number of billions: to 1 %, or to its last digit, rounded or cut."""
    digits = len(repr(published).removesuffix(".0").partition(".")[2])
    billions = counted / 1e9
    is_cut = math.floor(billions * 10**digits) / 10**digits == published
    return abs(billions - published) <= 0.01 * published or round(billions, digits) == published or is_cut


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_model_has_the_parameters_that_its_publisher_names(name: str, tmp_path: Path) -> None:
    model = facts_of(name, tmp_path)
    if name in AS_IF_ALL_LAYERS_HAD_INDEXERS:
        assert not isinstance(model.indexer, Off)
        model = model.replacing(indexer=model.indexer.replacing(pick_interval=1))
    counted = parameters_of(model)
    total, active = counted.total, counted.active
    if name in CUTS:
        assert model.published_parameters == model.published_active_parameters
        assert isinstance(model.published_parameters, Off)
        return
    if name in WITHOUT_EMBEDDINGS:
        active -= model.vocab_size * model.hidden_size * (1 if model.tie_embeddings else 2)
    if name in WITHOUT_EMBEDDING_TABLE:
        active -= model.vocab_size * model.hidden_size
    if name in WITH_PREDICTION_LAYER:
        layer = (total - 2 * model.vocab_size * model.hidden_size) // model.num_layers
        total = active = total + layer + 2 * model.hidden_size**2
    if name in AS_IF_ALL_LAYERS_HAD_EXPERTS:
        assert not isinstance(model.moe, Off)
        full = parameters_of(model.replacing(moe=model.moe.replacing(num_dense_layers=0)))
        total, active = full.total, full.active
    assert not isinstance(model.published_parameters, Off)
    assert not isinstance(model.published_active_parameters, Off)
    assert agrees(total, model.published_parameters), total
    assert agrees(active, model.published_active_parameters), active


def test_a_number_agrees_to_one_percent_or_to_its_last_digit() -> None:
    assert agrees(3_353_000_000, 3.3)  # cut
    assert agrees(3_260_000_000, 3.3)  # rounded
    assert not agrees(3_410_000_000, 3.3)
    assert agrees(237_300_000_000, 235)
    assert not agrees(237_400_000_000, 235)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_model_knows_its_label_and_its_place_on_the_hub(name: str, tmp_path: Path) -> None:
    model = facts_of(name, tmp_path)
    assert model.name == f"//models:{name}"
    assert name in CUTS or not isinstance(model.hf_id, Off)
    assert not isinstance(model.chat_template, Off)
    assert not isinstance(model.tokenizer.name, Off)


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
def test_the_cache_of_a_token_is_as_published(name: str, bytes_per_token: int, tmp_path: Path) -> None:
    assert kv_bytes_per_token(facts_of(name, tmp_path), 2) == bytes_per_token


def test_the_names_that_others_give_these_models_are_all_here() -> None:
    """The scripts of slime, by the names of their files."""
    rows = csv.reader((Path(__file__).parent / "slime_scripts.csv").read_text(encoding="utf-8").splitlines())
    ours = dict(rows)
    assert len(ours) == 39
    assert [name for name in ours.values() if name not in NAMES] == []
