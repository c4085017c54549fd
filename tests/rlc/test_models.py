"""`rlc models`: every model of the library with what its facts amount to."""

from __future__ import annotations

import json

import pytest

from compiler.frontend.roots import library_names
from rlc.catalogue import scan
from rlc.cli.main import main
from rlc.models import read_model, read_models

Captured = pytest.CaptureFixture[str]


def test_every_model_of_the_library_is_listed_once_with_its_parameters(capsys: Captured) -> None:
    assert main(["models"]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["name", "family"]
    assert [line.split()[0] for line in lines] == library_names("models", scan().stdlib)
    rows = {line.split()[0]: line.split()[1:] for line in lines}
    assert rows["qwen3_4b"] == ["qwen3", "36", "4.02", "B", "40,960", "Qwen/Qwen3-4B"]
    experts = ["qwen3_moe", "48", "30.5", "B", "3.35", "B", "40,960", "Qwen/Qwen3-30B-A3B"]
    assert rows["qwen3_30b_a3b"] == experts
    assert rows["kimi_k2"][2:4] == ["1.03", "T"]
    assert rows["tiny_qwen3"] == ["qwen3", "2", "401", "K", "512"]


def test_one_model_prints_every_fact_with_its_unit_and_the_file(capsys: Captured) -> None:
    for name in ("kimi_k2", "//models:kimi_k2"):
        assert main(["models", name]) == 0
        rows = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
        assert rows["write"] == 'model.name = "//models:kimi_k2"'
        assert rows["file"] == "//models/kimi_k2.star"
        assert rows["num_layers"] == "61 layers"
        assert rows["mla.kv_lora_rank"] == "512 channels"
        assert rows["indexer"] == "off"
        assert "weights" not in rows


def test_facts_as_json_are_those_that_a_spec_would_have(capsys: Captured) -> None:
    assert main(["models", "qwen3_30b_a3b", "--json"]) == 0
    (model,) = json.loads(capsys.readouterr().out)
    assert model["label"] == "//models:qwen3_30b_a3b"
    assert model["facts"]["moe"]["expert_size"] == 768
    assert model["facts"]["mla"] == "off"
    assert model["active_parameters"] == read_model("qwen3_30b_a3b", scan()).active_parameters


def test_the_list_as_json_has_each_label(capsys: Captured) -> None:
    assert main(["models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [row["label"] for row in listed] == [model.label for model in read_models(scan())]


def test_a_model_that_is_none_offers_those_that_begin_like_it(capsys: Captured) -> None:
    assert main(["models", "glm5"]) == 1
    shown = capsys.readouterr().err
    assert "there is no model glm5" in shown
    assert "glm5_744b_a40b" in shown
    assert main(["models", "qwen3_4"]) == 1
    assert "did you mean qwen3_4b?" in capsys.readouterr().err
