"""A rollout engine behind vLLM's HTTP interface (0.32): token ids in and out by /inference/v1/generate.

Weights go through a directory that both see, and `reload_weights` of every worker; vLLM answers that, pause, resume and
versions only with VLLM_SERVER_DEV_MODE=1.  Responses under way go on with the keys and values that they have (pause
"keep"), and say which version drew which of their tokens.

vLLM draws from a source of its own, and its responses end when they do.  Its log-probs are those of the distribution
that was drawn from where the server was started with `--logprobs-mode processed_logprobs`, as plans start it.
"""

from __future__ import annotations

import itertools
import shutil
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from runtime.engines.rollout.server_connection import ServerConnection, ServerPlace
from runtime.engines.rollout.vllm_generation import VllmGeneration
from runtime.protocols import Completion, GenerationRequest


class VllmEngine:
    """Generates on a server.

    Args:
        weights_dir: the directory that weights go through.

    Raises: SpecError RLC0729 if the server does not answer, RLC0730 if it refuses.
    """

    def __init__(self, place: ServerPlace, *, weights_dir: Path) -> None:
        self._place, self._weights_dir = place, weights_dir
        self._connection = ServerConnection(place)
        self._version: int | None = None
        self._numbers = itertools.count()
        self._stem = uuid.uuid4().hex[:12]
        try:
            self._connection.run(self._connection.get("/v1/models"))
        except SpecError:
            self._connection.close()
            raise

    @property
    def is_repeatable(self) -> bool:
        """Whether the order in which responses end is a function of the requests: it is not."""
        return False

    def note_weights(self, *, version: int) -> None:
        """Take note that somebody else has given the server its weights: a trainer in another process."""
        self._version = version

    def close(self) -> None:
        """End the connection; what is under way on the server is broken off."""
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

    def begin(self) -> VllmGeneration:
        """Return a generation without requests.  Raises: InternalError before there are weights."""
        if self._version is None:
            raise InternalError("the engine behind a server was asked to generate before it had weights")
        name = f"{self._stem}-{next(self._numbers)}"
        return VllmGeneration(self._connection, self._place, name, version=lambda: self._version)

    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        """Send weights, and have the server use them.

        Raises: SpecError RLC0735 if they cannot be written, and what `ServerConnection.post` raises.
        """
        self._version = None
        folder = self._weights_dir / f"weight_v{version:06d}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            save_file({n: t.detach().contiguous().clone() for n, t in tensors}, folder / "model.safetensors")
        except (OSError, SafetensorError) as fault:
            raise SpecError(Diagnostic("RLC0735", f"weights cannot be written to {folder}: {fault}")) from fault
        self._connection.run(self._while_paused(folder.absolute(), version))
        shutil.rmtree(folder)
        self._version = version

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Refuse: vLLM tells nobody its weights.  Raises: SpecError RLC0730."""
        way = Help("compare log-probs instead")
        raise SpecError(Diagnostic("RLC0730", f"vLLM at {self._place.url} does not say its weights", help=(way,)))

    def sleep(self, *, level: int) -> None:
        """Have the server let go of its memory: 1 keeps weights on the host, 2 keeps nothing.

        Raises: what `ServerConnection.post` raises.
        """
        self._connection.run(self._connection.post(f"/sleep?level={level}", {}, again=False))

    def wake_up(self) -> None:
        """Have the server take its memory again.  Raises: what `ServerConnection.post` raises."""
        self._connection.run(self._connection.post("/wake_up", {}, again=False))

    def flush(self) -> None:
        """Have the server forget what it computed before.  Raises: what `ServerConnection.post` raises."""
        self._connection.run(self._connection.post("/reset_prefix_cache", {}, again=True))

    async def _while_paused(self, folder: Path, version: int) -> None:
        post = self._connection.post
        reload: dict[str, Any] = {"method": "reload_weights", "kwargs": {"weights_path": str(folder)}}
        await post("/pause?mode=keep", {}, again=True)
        try:
            await post("/collective_rpc", reload, again=True)
            await post("/update_weight_version", {"new_version": str(version)}, again=True)
            await post("/reset_prefix_cache", {}, again=True)
        finally:
            await post("/resume", {}, again=True)
