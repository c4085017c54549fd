"""The native rollout engine: generation in plain torch, fp32, on CPU.

It shares no code with the trainer's forward, so that the log-probs of the two check each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, InternalError, SpecError
from compiler.ir.model import Model
from runtime.engines.architecture import architecture
from runtime.engines.rollout.native.cache import SequenceCache
from runtime.engines.rollout.native.checks import (
    check_requests,
    misshapen_weight,
    missing_weights,
    unknown_weight,
    untied_head,
)
from runtime.engines.rollout.native.expert_log import ExpertLog
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.rollout.native.scheduler import Scheduler
from runtime.protocols import Completion, GenerationRequest

_EMBEDDING = "model.embed_tokens.weight"
_HEAD = "lm_head.weight"


class NativeEngine:
    """Generates with its own forward pass.  Calls of generate that are open at once share one batch.

    Args:
        model: the architecture.
        concurrency: sequences decoded at once; memory is taken for all of them here.
        max_context_tokens: longest prompt and response together.
        returns_experts: whether completions say which experts their tokens visited.
    """

    def __init__(
        self, model: Model[Never], *, concurrency: int, max_context_tokens: int, returns_experts: bool = False
    ) -> None:
        self._model = model
        self._max_context_tokens = max_context_tokens
        facts = architecture(model)
        self._network = Decoder(model, facts, num_positions=max_context_tokens)
        cache = SequenceCache(
            num_rows=concurrency,
            num_positions=max_context_tokens,
            num_layers=model.num_layers,
            num_kv_heads=self._network.shape.num_keys,
            head_dim=self._network.shape.key_dim,
            value_dim=self._network.shape.value_dim,
        )
        expert_log = None
        if returns_experts and facts.experts is not None:
            expert_log = ExpertLog(
                num_rows=concurrency,
                num_positions=max_context_tokens,
                num_layers=model.num_layers - facts.experts.num_dense_layers,
                experts_per_token=facts.experts.experts_per_token,
            )
        self._scheduler = Scheduler(self._network, cache, num_rows=concurrency, expert_log=expert_log)
        self._version: int | None = None

    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        """Yield each response as soon as it is finished; other tasks run between batches of steps.

        Raises: SpecError if a request cannot be served (nothing is generated then), or if the policy's output is not
        a number.
        """
        generation = self.begin()
        generation.submit(requests)
        try:
            while (completion := await generation.next()) is not None:
                yield completion
        finally:
            generation.abort()

    def begin(self) -> NativeGeneration:
        """Return a generation without requests; all that are under way share one batch."""
        return NativeGeneration(self)

    def check(self, requests: Sequence[GenerationRequest]) -> None:
        """Raise SpecError with every request that cannot be served."""
        check_requests(requests, max_context_tokens=self._max_context_tokens, vocab_size=self._model.vocab_size)

    @property
    def scheduler(self) -> Scheduler:
        """The rows and the queue before them."""
        return self._scheduler

    def advance(self) -> None:
        """Run some steps, until a sequence is finished or other tasks deserve a turn."""
        if self._version is None:
            raise InternalError("the native engine was asked to generate before it had weights")
        self._scheduler.advance(version=self._version)

    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        """Copy weights into the engine's own memory; a head that is tied may be left out.

        Raises: SpecError naming every weight that is unknown, missing or of another shape.
        """
        expected = {w.name: w for w in self._network.weights()}
        found: list[Diagnostic] = []
        missing = dict.fromkeys(expected)
        tied_head: Tensor | None = None
        # Until all have come, what is held is no version.
        self._version = None
        with torch.no_grad():
            for name, tensor in tensors:
                if name == _HEAD and name not in expected:
                    tied_head = tensor
                elif (weight := expected.get(name)) is None:
                    found.append(unknown_weight(name, expected))
                elif tuple(tensor.shape) != weight.shape:
                    found.append(misshapen_weight(name, tuple(tensor.shape), weight.shape))
                    missing.pop(name, None)
                else:
                    weight.load(tensor)
                    missing.pop(name, None)
        if missing:
            found.append(missing_weights(list(missing)))
        elif tied_head is not None and not torch.equal(tied_head, expected[_EMBEDDING].value()):
            found.append(untied_head(_HEAD, _EMBEDDING))
        if found:
            raise SpecError(*found)
        self._version = version

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights in use by their Hugging Face names; a tied head is not repeated."""
        for weight in self._network.weights():
            yield weight.name, weight.value()


class NativeGeneration:
    """Requests under way in a native engine."""

    def __init__(self, engine: NativeEngine) -> None:
        self._engine = engine
        self._call = engine.scheduler.open()

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        """Queue requests behind those before.  Raises: SpecError if one cannot be served; then none is queued."""
        self._engine.check(requests)
        self._engine.scheduler.submit(self._call, requests)

    async def next(self) -> Completion | None:
        """Return the next finished response, or None; other tasks run between batches of steps.

        Raises: SpecError if the policy's output is not a number.
        """
        call = self._call
        while True:
            if call.fault is not None:
                raise call.fault
            if call.inbox:
                return call.inbox.popleft()
            if not call.num_outstanding:
                return None
            await asyncio.sleep(0)
            if not call.inbox and call.fault is None:
                self._engine.advance()

    def abort(self) -> list[Completion]:
        """Stop what is outstanding, free its rows, and return what there is of it."""
        return self._engine.scheduler.abort(self._call)
