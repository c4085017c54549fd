"""A rollout engine behind SGLang's HTTP interface: a server of rlc (`rlc serve`), or SGLang itself.

What a server of rlc adds is used where it is there (`rlc` of /server_info): draws by name, so that tokens are those of
an engine in this process; generations in lockstep, so that when responses end is a function of the requests; tensors
in safetensors.  SGLang itself draws from a source of its own, its responses end when they do, and weights go to it
through a directory that both see, as its other ways unpickle.

Weights change between pause and continue.  A server of rlc keeps the keys and values of responses under way.  SGLang
itself would then use those of old weights for new requests too that begin with the same tokens: what it has under way
is put down (retract), all is forgotten, and responses go on from their tokens.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save, save_file
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from runtime.engines.rollout.group_sender import GroupSender
from runtime.engines.rollout.memory_sender import MemorySender
from runtime.engines.rollout.routed_experts import RoutedLayers
from runtime.engines.rollout.server_connection import ServerConnection, ServerPlace, unreadable
from runtime.engines.rollout.sglang_generation import HttpGeneration, Kept
from runtime.protocols import Completion, GenerationRequest

_BUCKET_BYTES: Final = 256 << 20
_FLUSHES: Final = 50
_FLUSH_PAUSE_S: Final = 0.1
_ALL_ROWS: Final = 1 << 40
_MOST_KEPT: Final = 4096  # SGLang's own limit, where a server does not say another one


class SGLangEngine:
    """Generates on a server.

    Args:
        weights_dir: the directory that weights go through to SGLang itself; a server of rlc needs none.
        routed: where the model has experts, if completions are to say which of them tokens visited.
        vocab_size: of the model, where it is known: SGLang itself is told it for top-p without top-k.
        uses_additions: whether to use what a server of rlc adds; without, it is asked as SGLang is.

    Raises: SpecError RLC0729 if the server does not answer, RLC0730 if it refuses.
    """

    def __init__(
        self,
        place: ServerPlace,
        *,
        weights_dir: Path | None = None,
        routed: RoutedLayers | None = None,
        uses_additions: bool = True,
        vocab_size: int = 0,
    ) -> None:
        self._place = place
        self._weights_dir = weights_dir
        self._routed = routed
        self._connection = ServerConnection(place)
        self._names: list[str] = []
        self._version: int | None = None
        self._sender: GroupSender | MemorySender | None = None
        self._numbers = itertools.count()
        self._stem = uuid.uuid4().hex[:12]
        try:
            info = self._connection.run(self._connection.get("/server_info"))
        except SpecError:
            self._connection.close()
            raise
        own = info.get("rlc") if isinstance(info, Mapping) else None
        self._is_native = uses_additions and isinstance(own, Mapping) and own.get("engine") == "native"
        facts: Mapping[str, Any] = info if isinstance(info, Mapping) else {}
        self._num_ranks = int(facts.get("tp_size") or 1)
        self._kept = Kept(int(facts.get("sampling_mask_max_tokens") or _MOST_KEPT), vocab_size)

    @property
    def is_repeatable(self) -> bool:
        """Whether the order in which responses end is a function of the requests."""
        return self._is_native

    def note_weights(self, *, version: int) -> None:
        """Take note that somebody else has given the server its weights: a trainer in another process."""
        self._version = version

    def send_over_group(self, *, address: str = "127.0.0.1") -> None:
        """Broadcast weights from now on, over a group of processes that the server joins: gloo, on this machine.

        Raises: SpecError RLC0756 if the group does not come to be, RLC0729 or RLC0730 as `ServerConnection.post`.
        """
        name = f"weights-{self._stem}"
        self._sender = GroupSender(self._connection, self._place, address=address, name=name)

    def send_over_memory(self) -> None:
        """Hand over weights from now on by handles of memory, to a server on this machine: for shared devices.

        On CPUs they are files of torch's in shared memory, which its own manager process deletes once all are closed.
        """
        self._sender = MemorySender(self._connection, num_ranks=self._num_ranks)

    def release_memory(self, tags: Sequence[str]) -> None:
        """Have the server let go of memory: `weights`, `kv_cache`, `cuda_graph`.  Nothing may be under way.

        Raises: what `ServerConnection.post` raises.
        """
        self._connection.run(self._connection.post("/release_memory_occupation", {"tags": list(tags)}, again=False))

    def resume_memory(self, tags: Sequence[str]) -> None:
        """Have the server take memory again that it let go of; what was in it is gone.

        Raises: what `ServerConnection.post` raises.
        """
        self._connection.run(self._connection.post("/resume_memory_occupation", {"tags": list(tags)}, again=False))

    def flush(self) -> None:
        """Have the server forget what it computed before.

        SGLang refuses while it still lets go of what was broken off: it is asked again for some seconds.
        Raises: what `ServerConnection.post` raises.
        """
        for left in reversed(range(_FLUSHES)):
            try:
                self._connection.run(self._connection.post_for_bytes("/flush_cache", {}))
            except SpecError as fault:
                if not left or "Flush cache failed" not in fault.diagnostics[0].message:
                    raise
                time.sleep(_FLUSH_PAUSE_S)
            else:
                return

    def close(self) -> None:
        """End the connection; what is under way on the server is broken off."""
        if self._sender is not None:
            with contextlib.suppress(SpecError):
                self._sender.close()
            self._sender = None
        self._connection.close()

    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        """Yield each response as soon as it is finished.

        Raises: SpecError if a request cannot be served (nothing is generated then), or if the server fails.
        """
        generation = self.begin()
        generation.submit(requests)
        try:
            while (completion := await generation.next()) is not None:
                yield completion
        finally:
            generation.abort()

    def begin(self) -> HttpGeneration:
        """Return a generation without requests."""
        name = f"{self._stem}-{next(self._numbers)}"
        return HttpGeneration(
            self._connection,
            self._place,
            name,
            routed=self._routed,
            kept=None if self._is_native else self._kept,
            check=self._check,
        )

    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        """Send weights, and have the server use them.

        Raises: SpecError RLC0633 to RLC0636 if they do not fit, RLC0735 without a directory for SGLang's, and what
        `ServerConnection.post` raises.
        """
        # Until all have come, what the server holds is no version.
        self._version = None
        if self._sender is not None:
            self._names = []
            with self._paused():
                self._sender.send(self._noted(_buckets(tensors)), version=version)
        elif self._is_native:
            # All are read before the server hears of any: a trainer that fails leaves it as it is.
            files = [base64.b64encode(save(bucket)).decode() for bucket in _buckets(tensors)]
            self._connection.run(self._send(files, version))
        else:
            self._through_directory(dict(tensors), version)
        self._version = version

    def counters(self) -> dict[str, int]:
        """Return what a server of rlc counts; SGLang itself counts nothing by request.  Raises: as `load_weights`."""
        if not self._is_native:
            return {}
        return dict(self._connection.run(self._connection.get("/server_info"))["rlc"]["counters"])

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights in use by their Hugging Face names.  Raises: as `load_weights`."""
        if not self._is_native:
            for name in self._names:
                body = {"name": name, "truncate_size": _ALL_ROWS}
                shown = self._connection.run(self._connection.post("/get_weights_by_name", body, again=True))
                yield name, torch.tensor(shown, dtype=torch.float32)
            return
        info = self._connection.run(self._connection.get("/server_info"))
        for names in _groups(info["rlc"]["weights"]):
            body = {"names": names, "format": "safetensors"}
            content = self._connection.run(self._connection.post_for_bytes("/get_weights_by_name", body))
            try:
                held = load(content)
                yield from ((name, held[name]) for name in names)
            except (SafetensorError, KeyError) as fault:
                raise unreadable(self._place, "/get_weights_by_name", str(fault)) from fault

    def _noted(self, buckets: Iterator[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
        for bucket in buckets:
            self._names += bucket
            yield bucket

    def _check(self) -> None:
        if self._version is None:
            raise InternalError("the engine behind a server was asked to generate before it had weights")

    async def _send(self, files: Sequence[str], version: int) -> None:
        post = self._connection.post
        await post("/begin_weight_update", {}, again=True)
        for file in files:
            body = {"serialized_named_tensors": [file], "load_format": "safetensors", "weight_version": str(version)}
            await post("/update_weights_from_tensor", body, again=True)
        await post("/end_weight_update", {}, again=False)

    def _through_directory(self, tensors: Mapping[str, Tensor], version: int) -> None:
        if self._weights_dir is None:
            way = Help("give one that this process and the server both see")
            fact = f"weights for the server at {self._place.url} need a directory to go through"
            raise SpecError(Diagnostic("RLC0735", fact, help=(way,)))
        self._names = list(tensors)
        folder = self._weights_dir / f"weight_v{version:06d}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({n: t.detach().contiguous().clone() for n, t in tensors.items()}, folder / "model.safetensors")
        except (OSError, SafetensorError) as fault:
            raise SpecError(Diagnostic("RLC0735", f"weights cannot be written to {folder}: {fault}")) from fault
        body = {"model_path": str(folder.absolute()), "weight_version": str(version), "flush_cache": True}
        with self._paused():
            self._connection.run(self._connection.post("/update_weights_from_disk", body, again=True))
        shutil.rmtree(folder)

    @contextlib.contextmanager
    def _paused(self) -> Iterator[None]:
        """Have SGLang put down what is under way: it forgets what it has computed only while nothing runs."""
        run, post = self._connection.run, self._connection.post
        if self._is_native:
            yield
            return
        run(post("/pause_generation", {"mode": "retract"}, again=True))
        try:
            yield
        finally:
            run(post("/continue_generation", {}, again=True))


def _buckets(tensors: Iterator[tuple[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """Yield tensors in groups that one request may hold."""
    bucket: dict[str, Tensor] = {}
    num_bytes = 0
    for name, tensor in tensors:
        size = tensor.numel() * tensor.element_size()
        if bucket and num_bytes + size > _BUCKET_BYTES:
            yield bucket
            bucket, num_bytes = dict[str, Tensor](), 0
        bucket[name] = tensor.detach().contiguous().clone()
        num_bytes += size
    yield bucket


def _groups(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Yield names of weights in groups that one answer may hold."""
    group: list[str] = []
    num_bytes = 0
    for name, size in sizes.items():
        if group and num_bytes + size > _BUCKET_BYTES:
            yield group
            group, num_bytes = list[str](), 0
        group.append(name)
        num_bytes += size
    yield group
