"""Weights to a server over a group of processes: this side broadcasts, and says over HTTP what it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from runtime.engines.rollout.server_connection import ServerConnection, ServerPlace
from runtime.engines.rollout.weight_group import WeightGroup, open_store

T = TypeVar("T")


class GroupSender:
    """Rank 0 of a group of two, of which a server is the other.

    Args:
        address: of this machine, on its loopback.
        name: of the group; a server joins one of a name only once.

    Raises: SpecError RLC0756 if the group does not come to be, and what `ServerConnection.post` raises.
    """

    def __init__(self, connection: ServerConnection, place: ServerPlace, *, address: str, name: str) -> None:
        self._connection, self._place, self._name = connection, place, name
        timeout_s = place.answer_s
        store = open_store(address, timeout_s=timeout_s)
        body = {
            "master_address": address,
            "master_port": store.port,
            "rank_offset": 1,
            "world_size": 2,
            "group_name": name,
            "backend": "gloo",
        }

        def join() -> WeightGroup:
            return WeightGroup(store, address=address, rank=0, world_size=2, name=name, timeout_s=timeout_s)

        self._group = self._beside("/init_weights_update_group", body, join)

    def send(self, buckets: Iterable[Mapping[str, Tensor]], *, version: int) -> None:
        """Send all weights, and have the server use them.  Raises: as making it does, SpecError RLC0633 to RLC0636."""
        post, run = self._connection.post, self._connection.run
        run(post("/begin_weight_update", {}, again=True))
        for bucket in buckets:
            body = {
                "names": list(bucket),
                "dtypes": [str(tensor.dtype).removeprefix("torch.") for tensor in bucket.values()],
                "shapes": [list(tensor.shape) for tensor in bucket.values()],
                "group_name": self._name,
                "weight_version": str(version),
            }
            self._beside("/update_weights_from_distributed", body, lambda sent=bucket: self._group.send(sent.values()))
        run(post("/end_weight_update", {}, again=False))

    def close(self) -> None:
        """Have the server leave the group.  Raises: what `ServerConnection.post` raises."""
        body = {"group_name": self._name}
        self._connection.run(self._connection.post("/destroy_weights_update_group", body, again=False))

    def _beside(self, path: str, body: object, call: Callable[[], T]) -> T:
        """Do something while the server does the same; a server that refuses is not waited for."""
        made: Future[T] = Future()

        def run() -> None:
            try:
                made.set_result(call())
            except RuntimeError as fault:
                made.set_exception(fault)

        Thread(target=run, name="rlc-weight-group", daemon=True).start()
        self._connection.run(self._connection.post(path, body, again=False))
        try:
            return made.result()
        except RuntimeError as fault:
            fact = f"{path} of {self._place.url}: {str(fault).splitlines()[0][:200]}"
            way = Help("see that the server still runs, and join it again")
            raise SpecError(Diagnostic("RLC0756", fact, help=(way,))) from fault
