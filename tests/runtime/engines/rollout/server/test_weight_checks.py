"""Whether a weight update reached all weights, as SGLang's /weights_checker tells."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.contract.rollout_engines import weights_of
from tests.support.served_engine import client_of, give_weights, serving
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

MODEL = tiny_model(tie_embeddings=False)


@pytest.fixture(scope="module")
def served() -> Iterator[httpx2.Client]:
    with serving(MODEL) as running, client_of(running) as found:
        yield found


@pytest.fixture
def client(served: httpx2.Client) -> httpx2.Client:
    give_weights(served, weights_of(MODEL), "1")
    return served


def act(client: httpx2.Client, **body: Any) -> httpx2.Response:
    return client.post("/weights_checker", json=body)


def test_checksums_are_those_of_the_weights(client: httpx2.Client) -> None:
    found = client.get("/weights_checker").json()
    (rank,) = found["ranks"]
    expected = {n: hashlib.sha256(t.numpy().tobytes()).hexdigest()[:16] for n, t in weights_of(MODEL).items()}
    assert rank["checksums"] == expected
    assert act(client, action="checksum").json() == found
    some = act(client, skip_tensor_list=["model."]).json()["ranks"][0]["checksums"]
    assert list(some) == ["lm_head.weight"]
    give_weights(client, weights_of(MODEL, seed=1), "2")
    assert act(client).json()["per_engine_checksum"] != found["per_engine_checksum"]


def test_an_update_that_reaches_all_weights_is_told_from_one_that_changes_some(client: httpx2.Client) -> None:
    for action in ("snapshot", "reset_tensors"):
        assert act(client, action=action).json() == {"success": True, "message": "Success."}
    differs = act(client, action="compare")
    assert (differs.status_code, differs.json()["diagnostics"][0]["code"]) == (400, "RLC0738")
    wrong = {**weights_of(MODEL), "model.norm.weight": weights_of(MODEL)["model.norm.weight"] + 0.5}
    give_weights(client, wrong, "2")
    message = act(client, action="compare").json()["message"]
    assert "1 weights differ" in message
    assert "name=model.norm.weight max_abs_err=0.5" in message
    assert act(client, action="compare", skip_tensor_list=["norm"]).status_code == 200
    # What was compared and found alike is let go.
    assert act(client, action="compare").json()["diagnostics"][0]["code"] == "RLC0726"


def test_weights_that_were_reset_are_others_and_those_that_were_to_stay_are_not(client: httpx2.Client) -> None:
    before = act(client).json()["ranks"][0]["checksums"]
    act(client, action="reset_tensors", skip_tensor_list=["lm_head"])
    after = act(client).json()["ranks"][0]["checksums"]
    assert {name for name in before if before[name] == after[name]} == {"lm_head.weight"}
    assert client.get("/model_info").json()["weight_version"] == "1"


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        ({"action": "wipe"}, "RLC0720", "action of the body"),
        ({"action": ["compare"]}, "RLC0720", "action of the body"),
        ({"selector": "draft"}, "RLC0722", "selector = 'draft'"),
        ({"skip_tensor_list": "norm"}, "RLC0720", "skip_tensor_list"),
        ({"allow_quant_error": 1}, "RLC0720", "allow_quant_error"),
    ],
)
def test_what_is_no_check_is_named(client: httpx2.Client, body: dict[str, Any], code: str, said: str) -> None:
    found = act(client, **body).json()
    assert (found["success"], [d["code"] for d in found["diagnostics"]]) == (False, [code])
    assert said in found["message"]
