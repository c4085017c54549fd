"""vLLM itself, on CPU, behind the client of rlc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.server_process import ServerProcess
from runtime.engines.rollout.vllm import VllmEngine
from tests.contract.any_engine import CONTRACT_PARAMS, Check, UnderContract
from tests.contract.rollout_engines import GREEDY, generate, request, weights_of
from tests.runtime.engines.tiny_trainer import hf_model
from tests.support.tiny_model import tiny_model
from tests.support.vllm_server import TOKEN, start_vllm

# The attention of its CPU build has no heads of 16, and its reload leaves a tied head as it was.
MODEL = tiny_model(head_dim=32, tie_embeddings=False)
NUM_NEW_TOKENS = 150


@pytest.fixture(scope="module")
def server(engine_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    model_dir = tmp_path_factory.mktemp("model")
    hf_model(MODEL).save_pretrained(model_dir)
    started = start_vllm(engine_python, model_dir, tmp_path_factory.mktemp("vllm"))
    started.wait_ready()
    yield started
    started.stop()


@pytest.fixture
def engine(server: ServerProcess, tmp_path: Path) -> Iterator[VllmEngine]:
    place = ServerPlace(url=server.url, token=TOKEN, answer_s=60.0, silence_s=60.0, attempts=2)
    client = VllmEngine(place, weights_dir=tmp_path)
    client.load_weights(iter(weights_of(MODEL).items()), version=1)
    yield client
    client.close()


@pytest.mark.parametrize("check", CONTRACT_PARAMS)
def test_it_holds(engine: VllmEngine, check: Check) -> None:
    check(UnderContract(engine=engine, model=MODEL, names_tokens=False, num_new_tokens=NUM_NEW_TOKENS))


def test_a_request_that_is_too_long_is_refused_and_the_server_goes_on(engine: VllmEngine) -> None:
    with pytest.raises(SpecError, match="RLC0730"):
        generate(engine, [request([1]), request([1] * 2000, max_new_tokens=5)])
    assert len(generate(engine, [request([1], sampling=GREEDY)])) == 1
