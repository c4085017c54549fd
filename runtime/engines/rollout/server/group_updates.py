"""New weights over a group of processes, as SGLang has them: the trainer broadcasts, and says over HTTP what it sends.

Between /begin_weight_update and /end_weight_update buckets are kept until the end, as those of tensors in a body are;
outside of an update one request has to bring all weights.  Generation goes on while tensors are waited for.

The group is of gloo, on CPU, and on the loopback of this machine: its store has no password, so who reaches it could
send weights without the server's token.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from math import prod
from typing import Final, TypeVar

from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help
from runtime.engines.rollout.server.fields import Fields, is_integers
from runtime.engines.rollout.server.refusals import RefusalError, not_now
from runtime.engines.rollout.server.weight_updates import WeightUpdates
from runtime.engines.rollout.weight_group import DTYPES, WeightGroup, found_store
from runtime.rewards.threads import in_thread

T = TypeVar("T")

NAME: Final = "weight_update_group"
# Longest wait for the trainer: to join, and to send one tensor.
WAIT_S: Final = 120.0
_MEMBERS_MAX: Final = 4096
_PORTS_MAX: Final = 65_535
_OF_INIT: Final = ("master_address", "master_port", "rank_offset", "world_size", "group_name", "backend")
_OF_UPDATE: Final = (
    "names",
    "dtypes",
    "shapes",
    "group_name",
    "flush_cache",
    "abort_all_requests",
    "weight_version",
    "load_format",
    # They say how memory of a GPU is treated, or are read by nobody.
    "torch_empty_cache",
    "recapture_cuda_graph",
    "token_step",
    "selector",
)


class GroupUpdates:
    """The groups that this server has joined, by name.

    Args:
        most_bytes: of the tensors of one request.
    """

    def __init__(self, weights: WeightUpdates, *, most_bytes: int) -> None:
        self._weights, self._most_bytes = weights, most_bytes
        self._groups: dict[str, WeightGroup] = {}
        self._is_waiting = False

    async def join(self, given: object) -> str:
        """Join a group, when all others do.

        Raises: RefusalError RLC0722 for another backend than gloo, RLC0726 for a name that is taken or while another
        request waits, RLC0756 if the others do not come, RLC0757 for a group on other machines.
        """
        fields = Fields(given, "the body of /init_weights_update_group", _OF_INIT)
        address, name = fields.text("master_address"), fields.text("group_name", NAME)
        port = fields.integer("master_port", 0, least=1, most=_PORTS_MAX)
        world_size = fields.integer("world_size", 0, least=2, most=_MEMBERS_MAX)
        rank = fields.integer("rank_offset", 0, least=1, most=max(1, world_size - 1))
        backend = fields.text("backend", "nccl")
        if backend != "gloo":
            fields.only(("backend",), (), 'set backend = "gloo": this server has no GPU')
            if "backend" not in fields:
                fields.wrong("backend", 'which has to be "gloo" here')
        fields.close()
        if not _is_here(address):
            raise RefusalError(403, _elsewhere(address))
        if name in self._groups:
            raise not_now(f"group {name[:100]!r} has been joined", "send /destroy_weights_update_group first")

        def joined() -> WeightGroup:
            store = found_store(address, port, world_size=world_size, timeout_s=WAIT_S)
            return WeightGroup(store, address=address, rank=rank, world_size=world_size, name=name, timeout_s=WAIT_S)

        self._groups[name] = await self._waited(joined, f"group {name[:100]!r} at {address}:{port}")
        return "Succeeded to initialize custom process group."

    async def update(self, given: object) -> str:
        """Take the tensors that a body names from rank 0 of a group.

        Raises: RefusalError RLC0726 for a group that was not joined, RLC0756 if the tensors do not come; the group is
        left then.  SpecError RLC0633 to RLC0636 for weights that do not fit.
        """
        fields = Fields(given, "the body of /update_weights_from_distributed", _OF_UPDATE)
        fields.only(("load_format",), ("auto",), "leave it out: tensors come one by one")
        name, label = fields.text("group_name", NAME), fields.text("weight_version")
        names, dtypes, shapes = (fields.raw(field) for field in ("names", "dtypes", "shapes"))
        if not _is_list_of(names, lambda one: isinstance(one, str)):
            fields.wrong("names", "a list of names")
        if not _is_list_of(dtypes, lambda one: isinstance(one, str) and _dtype(one) in DTYPES):
            fields.wrong("dtypes", f"a list of {', '.join(DTYPES)}")
        if not _is_list_of(shapes, _is_shape):
            fields.wrong("shapes", "a list of shapes")
        aborts, _ = fields.flag("abort_all_requests", default=False), fields.flag("flush_cache", default=True)
        fields.close()
        wanted = [(DTYPES[_dtype(dtype)], shape) for dtype, shape in zip(dtypes, shapes, strict=False)]
        if not len(names) == len(dtypes) == len(shapes):
            raise not_now("names, dtypes and shapes are not of one length", "send one of each for every tensor")
        if sum(dtype.itemsize * prod(shape) for dtype, shape in wanted) > self._most_bytes:
            raise not_now("the tensors are larger than all weights", "send each weight once")
        group = self._groups.get(name)
        if group is None:
            raise not_now(f"group {name[:100]!r} was not joined", "send /init_weights_update_group first")
        try:
            tensors = await self._waited(lambda: group.receive(wanted), f"tensors over group {name[:100]!r}")
        except RefusalError as refusal:
            # What was not received would be taken for what is sent next.
            if refusal.diagnostics[0].code == "RLC0756":
                del self._groups[name]
            raise
        self._weights.take(dict[str, Tensor](zip(names, tensors, strict=True)), label or None, aborts=aborts)
        return f"{len(tensors)} tensors taken."

    def leave(self, given: object) -> str:
        """Leave a group.  Raises: RefusalError RLC0726 for one that was not joined, or while it is waited for."""
        fields = Fields(given, "the body of /destroy_weights_update_group", ("group_name",))
        name = fields.text("group_name", NAME)
        fields.close()
        self._check_idle()
        if self._groups.pop(name, None) is None:
            raise not_now(f"group {name[:100]!r} was not joined", "send /init_weights_update_group first")
        return "Succeeded to destroy custom process group."

    def _check_idle(self) -> None:
        if self._is_waiting:
            raise not_now("another request waits for the trainer", "send one after the other")

    async def _waited(self, call: Callable[[], T], what: str) -> T:
        self._check_idle()
        self._is_waiting = True
        try:
            return await in_thread(call, name=what)
        except RuntimeError as fault:
            way = Help("start the broadcast as this request is sent, with the names and shapes in the same order")
            fact = f"{what}: {str(fault).splitlines()[0][:200]}"
            raise RefusalError(400, Diagnostic("RLC0756", fact, help=(way,))) from fault
        finally:
            self._is_waiting = False


def _is_list_of(found: object, is_one: Callable[[object], bool]) -> bool:
    return isinstance(found, list) and all(is_one(one) for one in found)


def _is_shape(found: object) -> bool:
    return isinstance(found, list) and is_integers(found) and all(size >= 0 for size in found)


def _dtype(name: str) -> str:
    return name.removeprefix("torch.")


def _is_here(address: str) -> bool:
    try:
        return address == "localhost" or ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _elsewhere(address: str) -> Diagnostic:
    fact = f"master_address = {address!r:.100} is not on the loopback of this machine"
    way = Help("run the trainer here and open the store at 127.0.0.1, or send tensors in safetensors")
    return Diagnostic("RLC0757", fact, help=(way,))
