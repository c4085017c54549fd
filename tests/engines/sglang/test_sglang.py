"""SGLang itself, on CPU, behind the client of rlc."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.server_process import ServerProcess
from runtime.engines.rollout.sglang import SGLangEngine
from tests.contract.any_engine import CONTRACT_PARAMS, Check, UnderContract, new_weights_are_drawn_from_and_stamped
from tests.contract.rollout_engines import GREEDY, generate, request, weights_of
from tests.support.sglang_server import TOKEN, start_sglang
from tests.support.tiny_model import tiny_model

# A model of two layers draws some hundred tokens a second here: long enough to be caught under way.
NUM_NEW_TOKENS = 150


@pytest.fixture(scope="module")
def server(engine_python: Path, model_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    started = start_sglang(engine_python, model_dir, tmp_path_factory.mktemp("sglang"))
    started.wait_ready()
    yield started
    started.stop()


def place(server: ServerProcess) -> ServerPlace:
    return ServerPlace(url=server.url, token=TOKEN, answer_s=60.0, silence_s=60.0, attempts=2)


@pytest.fixture
def engine(server: ServerProcess, tmp_path: Path) -> Iterator[SGLangEngine]:
    client = SGLangEngine(place(server), weights_dir=tmp_path, vocab_size=37)
    client.load_weights(iter(weights_of(tiny_model()).items()), version=1)
    yield client
    client.close()


def under_contract(engine: SGLangEngine) -> UnderContract:
    return UnderContract(
        engine=engine,
        model=tiny_model(),
        renormalizes=False,
        has_min_tokens=False,
        num_new_tokens=NUM_NEW_TOKENS,
    )


@pytest.mark.parametrize("check", CONTRACT_PARAMS)
def test_it_holds(engine: SGLangEngine, check: Check) -> None:
    check(under_contract(engine))


def test_weights_come_over_a_group_of_processes(engine: SGLangEngine) -> None:
    engine.send_over_group()
    new_weights_are_drawn_from_and_stamped(under_contract(engine))


def test_weights_come_by_handles_of_memory(engine: SGLangEngine) -> None:
    engine.send_over_memory()
    new_weights_are_drawn_from_and_stamped(under_contract(engine))


def test_a_filter_that_keeps_more_tokens_than_are_told_of_is_refused(server: ServerProcess, tmp_path: Path) -> None:
    client = SGLangEngine(place(server), weights_dir=tmp_path)
    client.note_weights(version=1)
    asked = request([3], sampling=Sampling(temperature=1.0, top_p=0.5, top_k=OFF))
    with pytest.raises(SpecError, match="RLC0737: SGLang gives log-probs after a filter for 4096 tokens"):
        generate(client, [asked])


def test_a_request_that_is_too_long_is_refused_and_the_server_goes_on(engine: SGLangEngine) -> None:
    with pytest.raises(SpecError, match="RLC0730"):
        generate(engine, [request([1] * 2000, max_new_tokens=5)])
    assert len(generate(engine, [request([1], sampling=GREEDY)])) == 1


def test_what_was_computed_is_used_again_until_it_is_flushed(engine: SGLangEngine) -> None:
    prompt = [(7 * i) % 37 for i in range(60)]
    asked = [request(prompt, max_new_tokens=4, sampling=GREEDY)]
    engine.flush()
    first, again = (generate(engine, asked)[0] for _ in range(2))
    assert (first.num_cached_tokens, again.num_cached_tokens) == (0, 59)
    assert first.tokens == again.tokens
    engine.flush()
    assert generate(engine, asked)[0].num_cached_tokens == 0
