"""A port of the loopback that nobody listens at."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return one; somebody else may take it before it is used."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
