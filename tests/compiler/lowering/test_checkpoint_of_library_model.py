"""`model.name` and `model.hf` together: the checkpoint is one of the library's model, tables of facts included."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.good_spec import GPU, Changes, compiled

CONFIG: dict[str, object] = {
    "model_type": "qwen3",
    "num_hidden_layers": 36,
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6,
    "rope_theta": 1000000,
    "tie_word_embeddings": True,
}
SCALING = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}


def told(folder: Path, said: dict[str, object], changes: Changes | None = None) -> list[tuple[str, str]]:
    (folder / "checkpoint").mkdir(exist_ok=True)
    (folder / "checkpoint/config.json").write_text(json.dumps({**CONFIG, **said}, indent=2))
    both: Changes = {"model.hf": '"checkpoint"', "model.weights": None, **(changes or {})}
    return [(d.code, d.message) for d in compiled(folder, both, base=GPU).diagnostics]


def test_a_checkpoint_of_the_model_is_fine(tmp_path: Path) -> None:
    assert told(tmp_path, {}) == []


def test_a_table_that_the_library_does_not_have_is_told_once(tmp_path: Path) -> None:
    scaling = {**SCALING, "original_max_position_embeddings": 8192}
    message = "model.rope_scaling is a table in the checkpoint and off in //models:qwen3_4b"
    assert told(tmp_path, {"rope_scaling": scaling}) == [("RLC0232", message)]


def test_a_checkpoint_may_come_with_layers_that_predict_further_tokens(tmp_path: Path) -> None:
    assert told(tmp_path, {"num_nextn_predict_layers": 1}) == []


def test_what_the_spec_itself_says_of_those_layers_is_held_against_the_checkpoint(tmp_path: Path) -> None:
    own: Changes = {
        "model.num_mtp_layers": "2",
        "model.overrides": '[{ fact = "num_mtp_layers", why = "drafts are long here" }]',
    }
    assert ("RLC0213", "model.num_mtp_layers is 1 in the checkpoint") in told(
        tmp_path, {"num_nextn_predict_layers": 1}, own
    )
