"""What Megatron saved, written for Hugging Face.  Oracle: the weights that were saved; torch writes the checkpoint."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from compiler.diagnostics.diagnostic import SpecError
from rlc.catalogue import scan
from rlc.cli.main import main
from rlc.models import read_model
from runtime.checkpoint.from_megatron import convert_from_megatron
from runtime.checkpoint.torch_dist import DistCheckpoint, dist_folder
from runtime.weights.initial import initial_weights
from tests.runtime.checkpoint.megatron_saved import dense_qwen3, save
from tests.runtime.engines.tiny_trainer import tiny_weights
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

MODEL = tiny_model()
WEIGHTS = tiny_weights(MODEL)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    tensors = dense_qwen3(WEIGHTS, layers=2, kv_heads=2, filled=48)
    others = {"optimizer.state.exp_avg.decoder.final_layernorm.weight": torch.ones(3), "iteration": 7}
    return save(tmp_path / "iter_0000007", tensors, **others)


def test_every_weight_is_the_one_that_was_saved(tmp_path: Path, saved: Path) -> None:
    written = convert_from_megatron(saved, tmp_path / "out", MODEL, dtype="as_is", shard_bytes=20_000)
    assert written.files > 2
    assert written.tensors == len(WEIGHTS)
    read = initial_weights(MODEL.replacing(weights="out"), root=tmp_path, seed=0)
    assert set(read) == set(WEIGHTS)
    assert all(read[name].equal(tensor) for name, tensor in WEIGHTS.items())


def test_another_number_format_tells_what_is_lost(tmp_path: Path, saved: Path) -> None:
    written = convert_from_megatron(saved, tmp_path / "out", MODEL, dtype="bfloat16", shard_bytes=10**9)
    assert 0 < written.largest_change <= 2**-8
    read = initial_weights(MODEL.replacing(weights="out"), root=tmp_path, seed=0)
    assert all(read[name].equal(tensor.bfloat16().float()) for name, tensor in WEIGHTS.items())


def test_the_newest_of_a_folder_of_megatrons_is_found(tmp_path: Path, saved: Path) -> None:
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("7\n")
    assert dist_folder(tmp_path) == saved
    assert dist_folder(saved) == saved
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("../../etc\n")
    assert dist_folder(tmp_path) is None


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path, saved: Path) -> None:
    for other in (tiny_model(num_layers=3), tiny_model(tie_embeddings=False), tiny_model(intermediate_size=40)):
        with pytest.raises(SpecError, match="RLC0629"):
            convert_from_megatron(saved, tmp_path / "out", other, dtype="as_is", shard_bytes=10**9)
        assert [path.name for path in tmp_path.iterdir()] == [saved.name]


class Attack:
    """What a pickle can be made of: a command that leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_a_pickle_that_would_run_something_is_refused_and_nothing_runs(saved: Path, tmp_path: Path) -> None:
    (saved / ".metadata").write_bytes(pickle.dumps(Attack(tmp_path / "trace")))
    with pytest.raises(SpecError, match=r"RLC0629.*would make (posix|nt)\.system"):
        DistCheckpoint(saved)
    assert [path.name for path in tmp_path.iterdir()] == [saved.name]


def test_shards_are_read_as_weights_alone(saved: Path, tmp_path: Path) -> None:
    checkpoint = DistCheckpoint(saved)
    name = "decoder.final_layernorm.weight"
    (part,) = checkpoint.tensors[name].chunks
    attack = io.BytesIO()
    torch.save(Attack(tmp_path / "trace"), attack)
    shard = saved / part.file
    content = bytearray(shard.read_bytes())
    content[part.start : part.start + part.length] = attack.getvalue().ljust(part.length, b"\0")
    shard.write_bytes(content)
    with pytest.raises(SpecError, match="RLC0629"):
        checkpoint.read(name)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"junk", pickle.dumps({"a": 1}), pickle.dumps(None)])
def test_metadata_that_is_none_is_refused(saved: Path, content: bytes) -> None:
    (saved / ".metadata").write_bytes(content)
    with pytest.raises(SpecError, match="RLC0629"):
        DistCheckpoint(saved)


def test_a_shard_that_is_lost_is_an_error_and_not_zeros(tmp_path: Path, saved: Path) -> None:
    next(saved.glob("*.distcp")).unlink()
    with pytest.raises(SpecError, match="RLC0629"):
        convert_from_megatron(saved, tmp_path / "out", MODEL, dtype="as_is", shard_bytes=10**9)
    assert not (tmp_path / "out").exists()


def test_one_place_of_a_tensor_is_read_from_the_parts_that_have_it(saved: Path) -> None:
    checkpoint = DistCheckpoint(saved)
    name = "decoder.layers.mlp.linear_fc2.weight"
    for at in range(2):
        assert checkpoint.read(name, (at,)).equal(WEIGHTS[f"model.layers.{at}.mlp.down_proj.weight"])


def test_the_verb_takes_the_model_by_its_label_and_needs_it(tmp_path: Path) -> None:
    facts: Any = read_model("tiny_qwen3", scan()).facts
    weights = tiny_weights(facts)
    tensors = dense_qwen3(weights, layers=facts.num_layers, kv_heads=facts.num_kv_heads, filled=facts.vocab_size + 3)
    folder = str(save(tmp_path / "iter_0000001", tensors))
    out = str(tmp_path / "out")
    assert main(["ckpt", "convert", folder, out]) != 0
    assert not Path(out).exists()
    assert main(["ckpt", "convert", folder, out, "--model", "//models:tiny_qwen3"]) == 0
    read = initial_weights(facts.replacing(weights="out"), root=tmp_path, seed=0)
    assert all(read[name].equal(tensor) for name, tensor in weights.items())
