"""A native engine behind HTTP on the loopback of this machine, and the engine that is its client."""

from __future__ import annotations

import base64
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

import httpx2
from safetensors.torch import save
from torch import Tensor

from compiler.ir.model import Model
from runtime.data.tokenizers import TextTokenizer
from runtime.engines.rollout.native.engine import NativeEngine
from runtime.engines.rollout.routed_experts import routed_layers
from runtime.engines.rollout.server.app import Served
from runtime.engines.rollout.server.listening import ListeningServer, listening_socket, url_of
from runtime.engines.rollout.server_connection import ServerPlace
from runtime.engines.rollout.sglang import SGLangEngine

TOKEN = "the token of a test"


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A server in a thread of this process."""

    url: str
    server: ListeningServer
    end: Callable[[], None]


def start_server(
    model: Model[Never],
    *,
    concurrency: int,
    max_context_tokens: int,
    tokenizer: TextTokenizer | None = None,
    root: Path = Path(),
    returns_experts: bool = False,
) -> Running:
    """Serve an engine without weights."""
    engine = NativeEngine(
        model,
        concurrency=concurrency,
        max_context_tokens=max_context_tokens,
        returns_experts=returns_experts,
    )
    served = Served(
        engine=engine,
        model=model,
        max_context_tokens=max_context_tokens,
        tokenizer=tokenizer,
        root=root,
        token=TOKEN,
        seed=0,
        routed=routed_layers(model) if returns_experts else None,
    )
    listener = listening_socket("127.0.0.1", 0)
    url, server, started = url_of(listener), ListeningServer(served, listener, drain_s=1.0), threading.Event()
    thread = threading.Thread(target=server.serve, kwargs={"started": started.set}, daemon=True)
    thread.start()
    assert started.wait(30)

    def end() -> None:
        server.stop()
        thread.join(30)
        assert not thread.is_alive()

    return Running(url=url, server=server, end=end)


@contextmanager
def serving(
    model: Model[Never],
    *,
    concurrency: int = 4,
    max_context_tokens: int = 128,
    tokenizer: TextTokenizer | None = None,
    root: Path = Path(),
    returns_experts: bool = False,
) -> Iterator[Running]:
    """Serve an engine without weights until the block ends."""
    running = start_server(
        model,
        concurrency=concurrency,
        max_context_tokens=max_context_tokens,
        tokenizer=tokenizer,
        root=root,
        returns_experts=returns_experts,
    )
    try:
        yield running
    finally:
        running.end()


def client_of(running: Running, token: str = TOKEN) -> httpx2.Client:
    """Return a client that sends plain requests."""
    headers = {"Authorization": f"Bearer {token}"}
    return httpx2.Client(base_url=running.url, headers=headers, timeout=30.0, trust_env=False)


def give_weights(client: httpx2.Client, tensors: Mapping[str, Tensor], version: str) -> None:
    """Send weights as a trainer would."""
    file = base64.b64encode(save(dict(tensors))).decode()
    body = {"serialized_named_tensors": [file], "load_format": "safetensors", "weight_version": version}
    for path, content in (
        ("/begin_weight_update", None),
        ("/update_weights_from_tensor", body),
        ("/end_weight_update", None),
    ):
        reply = client.post(path, json=content)
        assert reply.status_code == 200, reply.text


def state_of(client: httpx2.Client) -> dict[str, Any]:
    """Return the counters of a server."""
    return client.get("/server_info").json()["internal_states"][0]


def wait_until(holds: Callable[[], bool]) -> None:
    """Look again until something holds."""
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, "it never came to hold"
        time.sleep(0.005)


def place_of(url: str, *, silence_s: float = 30.0) -> ServerPlace:
    """Return where a server of a test is."""
    return ServerPlace(url=url, token=TOKEN, answer_s=30.0, silence_s=silence_s, attempts=2)


def served_native(
    model: Model[Never], *, concurrency: int, max_context_tokens: int, returns_experts: bool = False
) -> SGLangEngine:
    """Return the client of a server of its own, which ends when nobody holds the client any more."""
    running = start_server(
        model, concurrency=concurrency, max_context_tokens=max_context_tokens, returns_experts=returns_experts
    )
    client = SGLangEngine(place_of(running.url), routed=routed_layers(model) if returns_experts else None)
    weakref.finalize(client, running.end)
    return client
