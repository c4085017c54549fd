"""The experts that tokens visit, asked for over HTTP: SGLang's form, and what an engine in this process records."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
import torch

from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.routed_experts import read, routed_layers, written
from runtime.engines.rollout.sglang import SGLangEngine
from stdlib.samples import ExpertIds
from tests.contract.rollout_engines import generate, request, weights_of
from tests.runtime.engines.tiny_trainer import tiny_families
from tests.support.served_engine import client_of, give_weights, place_of, served_native, serving
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

# Its first layer has no experts.
MODEL = tiny_families()["glm4_moe"]
LAYERS = routed_layers(MODEL)
ASKED = [request([3, 1, 4], num_samples=2), request([(3 * i) % 37 for i in range(40)], max_new_tokens=9)]


def recorded() -> list[ExpertIds | None]:
    engine = NativeEngine(MODEL, concurrency=8, max_context_tokens=128, returns_experts=True)
    engine.load_weights(iter(weights_of(MODEL).items()), version=1)
    return [c.expert_ids for c in generate(engine, ASKED)]


def test_experts_over_http_are_those_that_the_engine_records() -> None:
    engine = served_native(MODEL, concurrency=8, max_context_tokens=128, returns_experts=True)
    engine.load_weights(iter(weights_of(MODEL).items()), version=1)
    found = [c.expert_ids for c in generate(engine, ASKED)]
    assert found == recorded()
    assert [len(ids.ids_TLC) for ids in found if ids is not None] == [3 + 11, 3 + 11, 40 + 8]


def test_experts_are_asked_for_as_sglang_has_them(tmp_path: Path) -> None:
    with serving(MODEL, concurrency=8, returns_experts=True, root=tmp_path) as running:
        engine = SGLangEngine(place_of(running.url), weights_dir=tmp_path, routed=LAYERS, uses_additions=False)
        engine.load_weights(iter(weights_of(MODEL).items()), version=1)
        (found,) = generate(engine, [ASKED[1]])
        engine.close()
    assert found.expert_ids is not None
    (expected,) = [ids for ids in recorded() if ids is not None and len(ids.ids_TLC) == 48]
    # The prompt is the same; the draws are the server's own.
    assert found.expert_ids.ids_TLC[:40].equal(expected.ids_TLC[:40])


def test_each_layer_has_its_place_and_one_without_experts_says_nothing() -> None:
    assert LAYERS is not None
    with serving(MODEL, concurrency=8, returns_experts=True) as running, client_of(running) as client:
        give_weights(client, weights_of(MODEL), "1")
        body = {
            "input_ids": list(ASKED[1].tokens),
            "sampling_params": {"max_new_tokens": 2, "ignore_eos": True},
            "return_routed_experts": True,
        }
        whole, tail = (
            client.post("/generate", json={**body, "routed_experts_start_len": start}).json()["meta_info"]
            for start in (0, 38)
        )
        refused = client.post("/generate", json={**body, "routed_experts_start_len": 41}).json()
    content = bytearray(base64.b64decode(whole["routed_experts"]))
    ids_TLC = torch.frombuffer(content, dtype=torch.int32).view(41, MODEL.num_layers, LAYERS.experts_per_token)
    assert not ids_TLC[:, : LAYERS.num_dense_layers].any()
    expected = recorded()[2]
    assert expected is not None
    assert ids_TLC[:40, LAYERS.num_dense_layers :].equal(expected.ids_TLC[:40].int())
    assert len(base64.b64decode(tail["routed_experts"])) * 41 == len(content) * 3
    assert "routed_experts_start_len" in refused["diagnostics"][0]["message"]


def test_what_is_written_is_read_and_what_is_cut_is_named() -> None:
    assert LAYERS is not None
    num_routed = LAYERS.num_layers - LAYERS.num_dense_layers
    ids = ExpertIds(torch.randint(0, 300, (7, num_routed, LAYERS.experts_per_token), dtype=torch.int16))
    assert read(written(ids, LAYERS, start=0), LAYERS, num_tokens=7) == ids
    assert read(written(ids, LAYERS, start=7), LAYERS, num_tokens=0).ids_TLC.shape[0] == 0
    with pytest.raises(ValueError, match="bytes of experts"):
        read(written(ids, LAYERS, start=1), LAYERS, num_tokens=7)
    with pytest.raises(ValueError, match="no base64"):
        read("?", LAYERS, num_tokens=7)


def test_a_server_that_records_none_refuses_to_speak_of_them() -> None:
    with serving(tiny_model()) as running, client_of(running) as client:
        give_weights(client, weights_of(tiny_model()), "1")
        reply = client.post("/generate", json={"input_ids": [1], "return_routed_experts": True})
        assert (reply.status_code, reply.json()["diagnostics"][0]["code"]) == (400, "RLC0736")
