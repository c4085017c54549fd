"""A service on this machine that answers as a test says, and counts what it was asked."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

Answer = Callable[[int, Any], tuple[int, bytes]]


class Service:
    """What was asked of a service; `answer` is given the number of the question, from 0, and its JSON."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.questions: list[Any] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""
        self.now = self.most = 0
        self.lock = threading.Lock()


@contextmanager
def serving(answer: Answer) -> Iterator[Service]:
    """Serve on a free port of the loopback, until the block ends."""
    service = Service(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with service.lock:
                number = len(service.questions)
                service.questions.append(question)
                service.headers.append(dict(self.headers))
                service.now += 1
                service.most = max(service.most, service.now)
            status, body = service.answer(number, question)
            with service.lock:
                service.now -= 1
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.url = f"http://127.0.0.1:{server.server_address[1]}/score"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def said(value: object, status: int = 200) -> tuple[int, bytes]:
    """Return an answer in JSON."""
    return status, json.dumps(value).encode()


def chat(text: object) -> tuple[int, bytes]:
    """Return an answer as a chat endpoint writes it."""
    return said({"choices": [{"message": {"role": "assistant", "content": text}}]})
