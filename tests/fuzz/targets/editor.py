"""Any bytes as a document of the language server: opened, edited, asked about at any place, mended and closed.

The messages are those of the protocol, handed to the server without a process between.  What is asked, and where, is a
function of the document.
"""

from __future__ import annotations

import json
import logging
import random
import sys
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from rlc.editor.server import SpecServer, make_server
from tests.fuzz import seeds
from tests.fuzz.limits import CPU_S
from tests.fuzz.target import Target
from tests.fuzz.workplace import catalogue

_ENCODINGS = ("utf-8", "utf-16", "utf-32")
_ABOUT = ("hover", "completion", "definition")
_NUM_EDITS = 3
_NUM_QUESTIONS = 6
_TYPED = ("\n", "[", '"', "=", ".", "rollout.", "\U0001f600", "\r\n", "x = ", "${", "(", "")


class _Client:
    """An editor: what it sends, and what it was answered."""

    def __init__(self, encoding: str) -> None:
        self.server: SpecServer = make_server(catalogue(), version="0")
        self.protocol = self.server.protocol
        self.protocol.set_writer(self, include_headers=False)
        self.fault: BaseException | None = None
        self.number = 0
        general = {"general": {"positionEncodings": [encoding]}}
        self.ask("initialize", {"processId": None, "rootUri": Path().absolute().as_uri(), "capabilities": general})
        self.tell("initialized", {})

    def write(self, data: bytes) -> None:
        """Take a message; of one that says that a handler broke, keep what is being handled."""
        message = json.loads(data)
        if "error" in message or message.get("method") == "window/showMessage":
            self.fault = sys.exception() or AssertionError(message)

    def close(self) -> None:
        """Hang up."""

    def tell(self, method: str, params: dict[str, Any]) -> None:
        """Send a notification."""
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def ask(self, method: str, params: dict[str, Any]) -> None:
        """Send a request."""
        self.number += 1
        self.send({"jsonrpc": "2.0", "id": self.number, "method": method, "params": params})

    def send(self, message: dict[str, Any]) -> None:
        """Send a message.  Raises: what the server raises over it."""
        self.fault = None
        self.protocol.handle_message(self.protocol.structure_message(message))
        if self.fault is not None:
            raise self.fault


@cache
def _client(encoding: str) -> _Client:
    logging.getLogger("pygls").setLevel(logging.CRITICAL + 1)  # what it would say is raised here
    return _Client(encoding)


def check(data: bytes) -> None:
    """Hold a session over one document."""
    rng = random.Random(zlib.crc32(data))
    client = _client(rng.choice(_ENCODINGS))
    is_starlark = b"= [\n" not in data and any(word in data for word in (b"load(", b"experiment(", b"def "))
    uri = Path("open.star" if is_starlark else "open.toml").absolute().as_uri()
    document = {"textDocument": {"uri": uri}}
    text = data.decode("utf-8", "replace")
    opened = {"uri": uri, "languageId": "toml", "version": 1, "text": text}
    client.tell("textDocument/didOpen", {"textDocument": opened})
    lines = text.split("\n")
    _ask(client, document, lines, rng)
    for version in range(2, _NUM_EDITS + 2):
        start, end = sorted((_place(lines, rng), _place(lines, rng)), key=lambda place: tuple(place.values()))
        change = {"range": {"start": start, "end": end}, "text": rng.choice(_TYPED)}
        versioned = {"textDocument": {"uri": uri, "version": version}, "contentChanges": [change]}
        client.tell("textDocument/didChange", versioned)
        _ask(client, document, lines, rng)
    client.tell("textDocument/didSave", document)
    client.tell("textDocument/didClose", document)
    _ask(client, document, lines, rng)


def _ask(client: _Client, document: dict[str, Any], lines: list[str], rng: random.Random) -> None:
    for _ in range(_NUM_QUESTIONS):
        place = _place(lines, rng)
        client.ask(f"textDocument/{rng.choice(_ABOUT)}", {**document, "position": place})
    everything = {"start": {"line": 0, "character": 0}, "end": {"line": len(lines) + 1, "character": 0}}
    client.ask("textDocument/codeAction", {**document, "range": everything, "context": {"diagnostics": []}})


def _place(lines: list[str], rng: random.Random) -> dict[str, int]:
    """A place in a text, seldom one behind its end."""
    line = rng.randrange(len(lines)) if rng.random() < 0.95 else len(lines) + rng.randrange(3)
    width = len(lines[line]) if line < len(lines) else 0
    character = rng.choice((width, rng.randint(0, width), rng.randint(0, width + 3)))
    return {"line": line, "character": character}


def _seeds() -> Iterator[bytes]:
    yield from seeds.files(".toml")
    yield from seeds.files(".star")


def words() -> tuple[str, ...]:
    """Return what documents of both syntaxes hold."""
    return (*seeds.words_of_starlark(), *seeds.words_of_specs())


TARGET = Target(check, _seeds, words, 4 * CPU_S)
