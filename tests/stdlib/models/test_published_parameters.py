"""Every model of the library: its parameters, counted from its facts, are those that its publisher names."""

from __future__ import annotations

import csv
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
# "1.04 trillion" is 1.3 % more than what its facts give, and the card says "1 trillion"; 3.353 is published as 3.3.
LOOSELY_PUBLISHED = {"kimi_k2": 0.015, "kimi_k2_thinking": 0.015, "qwen3_30b_a3b": 0.017}


def facts_of(name: str, folder: Path) -> Model[object]:
    spec = folder / "spec.toml"
    spec.write_text(SPEC.format(name=name))
    subject = compile_spec(spec, CATALOGUE).subject
    assert subject is not None
    experiment: Experiment[object] = subject.experiment
    return experiment.model


def agrees(counted: float, published: float, *, within: float) -> bool:
    """Whether a count is a published number of billions: to a part of it, or to half of its last digit."""
    digits = repr(published).removesuffix(".0")
    last = 10.0 ** -len(digits.partition(".")[2])
    return abs(counted / 1e9 - published) <= max(within * published, last / 2)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_model_has_the_parameters_that_its_publisher_names(name: str, tmp_path: Path) -> None:
    model = facts_of(name, tmp_path)
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
    assert not isinstance(model.published_parameters, Off)
    assert not isinstance(model.published_active_parameters, Off)
    within = LOOSELY_PUBLISHED.get(name, 0.01)
    assert agrees(total, model.published_parameters, within=within), total
    assert agrees(active, model.published_active_parameters, within=within), active


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_model_knows_its_label_and_its_place_on_the_hub(name: str, tmp_path: Path) -> None:
    model = facts_of(name, tmp_path)
    assert model.name == f"//models:{name}"
    assert name in CUTS or not isinstance(model.hf_id, Off)
    assert not isinstance(model.chat_template, Off)


# bytes of keys and values of one token in bf16: the field's own tables, where one of their rows is a model of ours.
CACHED = {
    "llama3_2_1b": 32768,
    "llama3_1_8b": 131072,
    "llama3_1_70b": 327680,
    "llama3_1_405b": 516096,
    "qwen2_5_7b": 57344,
    "qwen2_5_32b": 262144,
    "qwen3_0_6b": 114688,
    "qwen3_4b": 147456,
    "qwen3_14b": 163840,
    "qwen3_30b_a3b": 98304,
    "qwen3_235b_a22b": 192512,
    "glm4_5_106b_a12b": 188416,
    "glm4_5_355b_a32b": 376832,
    "deepseek_v3": 70272,
    "kimi_k2": 70272,
    "moonlight_16b_a3b": 31104,
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
