"""Weights to SGLang on the same machine by handles of memory, which are all that goes over HTTP.

It is what shares devices: the server copies from the trainer's memory.  Of a GPU's tensors the handles are CUDA's, of a
CPU's the names of files in shared memory.  They are pickled, as SGLang has them; what comes from a server never is.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.reduction import ForkingPickler
from typing import Final

from torch import Tensor, multiprocessing

from runtime.engines.rollout.server_connection import ServerConnection

_PROTOCOL: Final = 5


class MemorySender:
    """Gives a server handles of tensors.

    Args:
        num_ranks: of the server, each of which gets the handles.
    """

    def __init__(self, connection: ServerConnection, *, num_ranks: int) -> None:
        self._connection, self._num_ranks = connection, num_ranks

    def send(self, buckets: Iterable[Mapping[str, Tensor]], *, version: int) -> None:
        """Have the server copy all weights and use them.  Raises: what `ServerConnection.post` raises."""
        post, run = self._connection.post, self._connection.run
        run(post("/begin_weight_update", {}, again=False))
        for bucket in buckets:
            body = {
                "serialized_named_tensors": [_handles(bucket)] * self._num_ranks,
                "weight_version": str(version),
                "flush_cache": True,
            }
            # The tensors live until the server has answered, and with that copied them.
            run(post("/update_weights_from_tensor", body, again=False))
        run(post("/end_weight_update", {}, again=False))

    def close(self) -> None:
        """Do nothing: handles are no longer held than an answer takes."""


def _handles(bucket: Mapping[str, Tensor]) -> str:
    buffer = io.BytesIO()
    with _by_names():
        ForkingPickler(buffer, _PROTOCOL).dump(list(bucket.items()))
    return base64.b64encode(buffer.getvalue()).decode()


@contextmanager
def _by_names() -> Iterator[None]:
    """Let another process find shared memory by its name; torch's own way hands over open files to children only."""
    before = multiprocessing.get_sharing_strategy()
    multiprocessing.set_sharing_strategy("file_system")
    try:
        yield
    finally:
        multiprocessing.set_sharing_strategy(before)
