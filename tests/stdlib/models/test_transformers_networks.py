"""Every model of the library at its full size, as transformers builds it without memory for its weights.

Two things are held at once, number by number: that our count of a model's parameters is that of an implementation which
is not ours, and that a checkpoint's config.json, in that implementation's words, is read as the facts of the library.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from compiler.compile import compile_spec
from compiler.ir.model import Model
from compiler.ir.openness import Off
from compiler.planner.parameters import parameters_of
from tests.stdlib.models.library import BUILT_AS, CATALOGUE, NAMES, config_of, facts_of

pytestmark = pytest.mark.torch

SPEC = """use = ["//recipes:sft"]
name = "facts"
model = {{ {named} }}
cluster.target = "cpu"
run.max_steps = 1
train = {{ global_batch = 1, micro_batch = 1 }}
data.train = [{{ path = "rows.jsonl" }}]
"""
# What is said about a model and is no fact of its network.
BESIDE = {
    "name",
    "hf",
    "weights",
    "hf_id",
    "chat_template",
    "published_parameters",
    "published_active_parameters",
    "overrides",
    "init_std",
    "tokenizer",
}


def network_of(model: Model[object]) -> torch.nn.Module:
    said = config_of(model)
    kind = str(said.pop("model_type"))
    config: Any = AutoConfig.for_model(BUILT_AS.get(kind, kind), **said, pad_token_id=None)
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


def network_facts(model: Model[object]) -> dict[str, object]:
    """Everything about a model that is a fact of its network."""
    return {name: value for name, value in model.__dict__.items() if name not in BESIDE}


def numbers_in(network: torch.nn.Module) -> int:
    """Parameters, and the biases that balance experts, which are buffers."""
    balancing = (b.numel() for name, b in network.named_buffers() if name.endswith("e_score_correction_bias"))
    return sum(p.numel() for p in network.parameters()) + sum(balancing)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_those_of_the_network_that_transformers_builds(name: str) -> None:
    model = facts_of(name)
    network = network_of(model)
    counted = parameters_of(model)
    assert counted.total == numbers_in(network)
    if isinstance(model.moe, Off):
        assert counted.active == counted.total
        return
    # transformers keeps the experts of a layer in two tensors, the first dimension of which counts them.
    experts = sum(p.numel() for path, p in network.named_parameters() if ".experts." in path and p.ndim == 3)
    assert experts
    idle = experts // model.moe.num_experts * (model.moe.num_experts - model.moe.experts_per_token)
    assert counted.active == counted.total - idle


def read(folder: Path, config: dict[str, object], name: str = "") -> tuple[Model[object], list[str]]:
    """The facts of a spec that names a directory with a config.json, and what is wrong with them."""
    (folder / "checkpoint").mkdir(exist_ok=True)
    (folder / "checkpoint/config.json").write_text(json.dumps(config, indent=2))
    named = f'name = "//models:{name}", hf = "checkpoint"' if name else 'hf = "checkpoint"'
    (folder / "spec.toml").write_text(SPEC.format(named=named))
    found = compile_spec(folder / "spec.toml", CATALOGUE)
    wrong = [d.message for d in found.diagnostics if d.code in ("RLC0205", "RLC0212", "RLC0213", "RLC0232", "RLC0233")]
    assert found.subject is not None, [d.message for d in found.diagnostics]
    return found.subject.experiment.model, wrong


@pytest.mark.parametrize("name", NAMES)
def test_the_config_of_a_checkpoint_says_the_facts_of_the_library(name: str, tmp_path: Path) -> None:
    library = facts_of(name)
    model, wrong = read(tmp_path, config_of(library))
    assert wrong == []
    assert network_facts(model) == network_facts(library)


@pytest.mark.parametrize("name", NAMES)
def test_an_older_config_of_a_checkpoint_says_the_same(name: str, tmp_path: Path) -> None:
    """Rotary positions in keys of their own, and the kind of their scaling as `type`."""
    library = facts_of(name)
    said = config_of(library)
    rope = said.pop("rope_parameters")
    assert isinstance(rope, dict)
    said |= {key: rope.pop(key) for key in ("rope_theta", "partial_rotary_factor") if key in rope}
    kind = rope.pop("rope_type")
    said["rope_scaling"] = None if kind == "default" else {"type": kind, **rope}
    model, wrong = read(tmp_path, said)
    assert wrong == []
    assert network_facts(model) == network_facts(library)


@pytest.mark.parametrize("name", NAMES)
def test_the_config_that_transformers_saves_is_no_contradiction(name: str, tmp_path: Path) -> None:
    """As newer checkpoints hold it: with all defaults of the class, and of mimo and kimi_k2 under their own names."""
    said = config_of(facts_of(name))
    kind = str(said.pop("model_type"))
    config: Any = AutoConfig.for_model(BUILT_AS.get(kind, kind), **said)
    saved = {**json.loads(config.to_json_string(use_diff=False)), "model_type": kind}
    assert read(tmp_path, saved, name)[1] == []
