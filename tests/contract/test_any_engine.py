"""The part of the contract that says nothing of draws, for engines that draw by name, and asked as SGLang is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.sglang import SGLangEngine
from runtime.protocols import RolloutEngine
from tests.contract.any_engine import CONTRACT_PARAMS, Check, UnderContract
from tests.contract.rollout_engines import weights_of
from tests.support.served_engine import place_of, serving
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch


@pytest.fixture(params=["native", "native behind HTTP, asked as SGLang is"])
def under(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[UnderContract]:
    def with_weights(engine: RolloutEngine, *, filters: bool = True) -> UnderContract:
        engine.load_weights(iter(weights_of(tiny_model()).items()), version=1)
        return UnderContract(engine=engine, model=tiny_model(), filters=filters)

    if request.param == "native":
        yield with_weights(NativeEngine(tiny_model(), concurrency=8, max_context_tokens=512))
        return
    with serving(tiny_model(), concurrency=8, max_context_tokens=512, root=tmp_path) as running:
        client = SGLangEngine(place_of(running.url), weights_dir=tmp_path, uses_additions=False, vocab_size=37)
        # A server of rlc refuses the fields by which SGLang is asked for log-probs after a filter.
        yield with_weights(client, filters=False)
        client.close()


@pytest.mark.parametrize("check", CONTRACT_PARAMS)
def test_it_holds(under: UnderContract, check: Check) -> None:
    check(under)
