"""Weights over a group of two processes: a server in one, and in the other whoever broadcasts."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
import torch

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.server import group_updates
from runtime.engines.rollout.sglang import SGLangEngine
from tests.contract.rollout_engines import GREEDY, engine_of, generate, request, weights_of
from tests.runtime.engines.tiny_trainer import tiny_weights
from tests.support.served_engine import Running, client_of, give_weights, place_of, serving
from tests.support.tiny_model import tiny_model

pytestmark = pytest.mark.torch

ROOT = Path(__file__).parents[5]


@pytest.fixture
def running() -> Iterator[Running]:
    with serving(tiny_model()) as served:
        yield served


@pytest.fixture
def client(running: Running) -> Iterator[httpx2.Client]:
    with client_of(running) as plain:
        yield plain


def trainer(url: str, code: str) -> subprocess.CompletedProcess[str]:
    """Run a trainer in a process of its own to its end."""
    head = f"""
    from runtime.engines.rollout.sglang import SGLangEngine
    from tests.contract.rollout_engines import weights_of
    from tests.support.served_engine import place_of
    from tests.support.tiny_model import tiny_model
    engine = SGLangEngine(place_of({url!r}))
    """
    script = textwrap.dedent(head) + textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


def test_weights_that_another_process_broadcasts_are_held_to_the_bit(running: Running, client: httpx2.Client) -> None:
    code = """
    engine.send_over_group()
    for version in (1, 2):
        engine.load_weights(iter(weights_of(tiny_model(), seed=version).items()), version=version)
    engine.close()
    print("sent")
    """
    ended = trainer(running.url, code)
    assert (ended.returncode, ended.stdout) == (0, "sent\n"), ended.stderr
    held = SGLangEngine(place_of(running.url))
    expected = weights_of(tiny_model(), seed=2)
    found = dict(held.weights())
    assert found.keys() == expected.keys()
    assert all(found[name].equal(tensor) for name, tensor in expected.items())
    assert client.get("/model_info").json()["weight_version"] == "2"
    held.close()


def test_weights_that_are_broadcast_in_the_middle_lose_nothing_and_stamp_each_token(running: Running) -> None:
    engine = SGLangEngine(place_of(running.url))
    engine.load_weights(iter(weights_of(tiny_model()).items()), version=1)
    engine.send_over_group()
    asked = [request([3, 1, n], num_samples=2, max_new_tokens=100) for n in range(5)]
    newer = tiny_weights(tiny_model(), 1)
    sender = threading.Thread(target=engine.load_weights, args=(iter(newer.items()),), kwargs={"version": 2})

    async def run() -> list[Any]:
        generation = engine.begin()
        generation.submit(asked)
        found = [await generation.next()]
        sender.start()
        while (completion := await generation.next()) is not None:
            found.append(completion)
        return found

    found = asyncio.run(run())
    sender.join()
    assert sorted((c.request, c.sample) for c in found) == [(r, s) for r in range(5) for s in range(2)]
    assert all(len(c.versions) == len(c.tokens) == 100 for c in found)
    assert all(list(c.versions) == sorted(c.versions) for c in found)
    later = generate(engine, [request([3, 1, 2], sampling=GREEDY)])
    assert later[0].tokens == generate(engine_of(NativeEngine, seed=1), [request([3, 1, 2], sampling=GREEDY)])[0].tokens
    assert set(later[0].versions) == {2}
    engine.close()


def test_a_trainer_that_is_killed_in_the_middle_leaves_the_weights_in_use(
    running: Running, client: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_updates, "WAIT_S", 5.0)
    give_weights(client, weights_of(tiny_model()), "first")
    code = """
    import os, signal, threading, time
    engine.send_over_group()
    group, sent = engine._sender._group, []
    def send(tensors):
        os.kill(os.getpid(), signal.SIGKILL)
    group.send = send
    engine.load_weights(iter(weights_of(tiny_model(), seed=1).items()), version=2)
    """
    assert trainer(running.url, code).returncode == -9
    reply = client.post("/generate", json={"input_ids": [3, 1, 2], "sampling_params": {"max_new_tokens": 4}})
    assert reply.status_code == 200
    assert client.get("/model_info").json()["weight_version"] == "first"
    again = SGLangEngine(place_of(running.url))
    again.send_over_group()
    again.load_weights(iter(weights_of(tiny_model(), seed=1).items()), version=3)
    again.close()
    assert client.get("/model_info").json()["weight_version"] == "3"


JOIN = {"master_address": "127.0.0.1", "master_port": 1, "rank_offset": 1, "world_size": 2, "backend": "gloo"}
ONE = {"names": ["a"], "dtypes": ["float32"], "shapes": [[2]]}


@pytest.mark.parametrize(
    ("path", "body", "code", "said"),
    [
        ("init_weights_update_group", {**JOIN, "master_address": "10.0.0.4"}, "RLC0757", "10.0.0.4"),
        ("init_weights_update_group", {**JOIN, "master_address": "my host"}, "RLC0757", "my host"),
        ("init_weights_update_group", {**JOIN, "backend": "nccl"}, "RLC0722", "backend"),
        ("init_weights_update_group", {**JOIN, "rank_offset": 0}, "RLC0720", "rank_offset"),
        ("init_weights_update_group", {**JOIN, "world_size": 1}, "RLC0720", "world_size"),
        ("init_weights_update_group", {**JOIN, "port": 1}, "RLC0721", "port"),
        ("init_weights_update_group", JOIN, "RLC0756", "127.0.0.1:1"),
        ("update_weights_from_distributed", ONE, "RLC0726", "was not joined"),
        ("update_weights_from_distributed", {**ONE, "dtypes": ["object"]}, "RLC0720", "dtypes"),
        ("update_weights_from_distributed", {**ONE, "shapes": [[-2]]}, "RLC0720", "shapes"),
        ("update_weights_from_distributed", {**ONE, "shapes": []}, "RLC0726", "one length"),
        ("update_weights_from_distributed", {**ONE, "shapes": [[1 << 40]]}, "RLC0726", "larger than all weights"),
        ("destroy_weights_update_group", {}, "RLC0726", "was not joined"),
    ],
)
def test_what_is_no_group_or_no_tensor_is_named(
    client: httpx2.Client,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    body: dict[str, Any],
    code: str,
    said: str,
) -> None:
    monkeypatch.setattr(group_updates, "WAIT_S", 0.2)
    reply = client.post(f"/{path}", json=body)
    told = reply.json()
    assert reply.status_code in (400, 403)
    assert [one["code"] for one in told["diagnostics"]] == [code], told
    assert said in reply.text


def test_a_server_that_refuses_a_group_is_not_waited_for(running: Running) -> None:
    engine = SGLangEngine(place_of(running.url))
    with pytest.raises(SpecError, match="RLC0757"):
        engine.send_over_group(address="0.0.0.0")
    engine.close()


def test_tensors_that_do_not_fit_leave_the_weights_in_use(running: Running, client: httpx2.Client) -> None:
    give_weights(client, weights_of(tiny_model()), "first")
    engine = SGLangEngine(place_of(running.url))
    engine.send_over_group()
    weights = weights_of(tiny_model(), seed=1)
    name = next(iter(weights))
    with pytest.raises(SpecError, match="RLC0634"):
        engine.load_weights(iter([(name, weights[name])]), version=2)
    with pytest.raises(SpecError, match="RLC0635"):
        engine.load_weights(iter({**weights, name: torch.zeros(3)}.items()), version=2)
    assert client.get("/model_info").json()["weight_version"] == "first"
    engine.load_weights(iter(weights.items()), version=4)
    assert client.get("/model_info").json()["weight_version"] == "4"
    engine.close()
