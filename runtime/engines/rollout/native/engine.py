"""The native rollout engine: generation in plain torch, fp32, on CPU.

It shares no code with the trainer's forward, so that the log-probs of the two check each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Final, NamedTuple, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, InternalError, SpecError
from compiler.ir.model import Model
from runtime.engines.architecture import architecture
from runtime.engines.rollout.native.cache import SequenceCache
from runtime.engines.rollout.native.checks import (
    Limits,
    check_requests,
    misshapen_weight,
    missing_weights,
    unknown_weight,
    untied_head,
)
from runtime.engines.rollout.native.expert_log import ExpertLog
from runtime.engines.rollout.native.lanes import Lanes, lane_positions
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.rollout.native.models.tiles import TiledDecoder
from runtime.engines.rollout.native.scheduler import Scheduler
from runtime.protocols import Completion, GenerationRequest

_EMBEDDING = "model.embed_tokens.weight"
_HEAD = "lm_head.weight"


class Memory(NamedTuple):
    """What an engine may hold and run at once.

    cache_tokens: whose keys and values are held; None for those of all sequences at their longest.
    prefill_tokens: of prompts, run between two tokens of the sequences under way.
    num_drafts: that the model's layer for further tokens drafts for each sequence and pass; 0 drafts none.
    """

    cache_tokens: int | None = None
    prefill_tokens: int = 2048
    num_drafts: int = 0


MEMORY: Final = Memory()


class NativeEngine:
    """Generates with its own forward pass.  Calls of generate that are open at once share one batch.

    Args:
        model: the architecture, with layers for further tokens if it is to hold them.
        concurrency: sequences decoded at once.
        max_context_tokens: longest prompt and response together.
        deterministic: whether tokens and log-probs of a response have the same bits whatever else is in the batch.
        returns_experts: whether completions say which experts their tokens visited.
    """

    def __init__(
        self,
        model: Model[Never],
        *,
        concurrency: int,
        max_context_tokens: int,
        memory: Memory = MEMORY,
        deterministic: bool = False,
        returns_experts: bool = False,
    ) -> None:
        if memory.num_drafts and (deterministic or model.num_mtp_layers != 1):
            raise InternalError("tokens are drafted by one layer, and not in deterministic mode")
        self._model = model
        self._num_drafts = memory.num_drafts
        self._limits = Limits(max_context_tokens, memory.cache_tokens or concurrency * max_context_tokens)
        self._network = self._make_network(deterministic)
        lanes = Lanes(
            self._make_cache,
            self._make_log if returns_experts and architecture(model).experts is not None else None,
            num_positions=max_context_tokens,
            num_tokens=self._limits.cache_tokens,
            num_rows=concurrency,
            is_exact=deterministic,
        )
        self._scheduler = Scheduler(
            self._network,
            lanes,
            num_rows=concurrency,
            prefill_tokens=memory.prefill_tokens,
            num_drafts=memory.num_drafts,
        )
        self._version: int | None = None
        self._num_refused = 0

    def _make_network(self, deterministic: bool) -> Decoder:
        model, longest = self._model, min(self._limits)
        facts = architecture(model)
        if deterministic:
            lanes = lane_positions(longest)
            return TiledDecoder(model, facts, num_positions=longest, lane_positions=lanes)
        num_drafts = self._num_drafts
        return Decoder(model, facts, num_positions=longest + num_drafts, drafts=num_drafts > 0)

    def _make_cache(self, num_rows: int, num_positions: int) -> SequenceCache:
        shape = self._network.shape
        cache = SequenceCache(
            num_rows=num_rows,
            num_positions=num_positions,
            num_layers=self._model.num_layers + (self._num_drafts > 0),
            num_kv_heads=shape.num_keys,
            head_dim=shape.key_dim,
            value_dim=shape.value_dim,
        )
        if self._num_drafts:
            cache.reserve(self._num_drafts)
        return cache

    def _make_log(self, num_rows: int, num_positions: int) -> ExpertLog:
        experts = architecture(self._model).experts
        assert experts is not None
        return ExpertLog(
            num_rows=num_rows,
            num_positions=num_positions + self._num_drafts,
            num_layers=self._model.num_layers - experts.num_dense_layers,
            experts_per_token=experts.experts_per_token,
        )

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

    def begin(self, *, uses_earlier: bool = False) -> NativeGeneration:
        """Return a generation without requests; all that are under way share one batch.

        Args:
            uses_earlier: whether prefixes that requests of before left are used where none of them is under way any
                more.  Then the last bits of its log-probs depend on what was asked before it began.
        """
        return NativeGeneration(self, uses_earlier=uses_earlier)

    def forget_prefixes(self) -> None:
        """Let go of the keys and values that finished requests left; those under way share theirs no more."""
        self._scheduler.lanes.prefixes.clear()

    def check(self, requests: Sequence[GenerationRequest]) -> None:
        """Raise SpecError with every request that cannot be served."""
        try:
            check_requests(requests, self._limits, vocab_size=self._model.vocab_size)
        except SpecError:
            self._num_refused += len(requests)
            raise

    @property
    def scheduler(self) -> Scheduler:
        """The rows and the queue before them."""
        return self._scheduler

    def counters(self) -> dict[str, int]:
        """Return what happened since the engine was made, by name."""
        return {**self._scheduler.counters(), "refused_requests": self._num_refused}

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
        self.forget_prefixes()
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

    def __init__(self, engine: NativeEngine, *, uses_earlier: bool = False) -> None:
        self._engine = engine
        self._call = engine.scheduler.open(keeps_prefixes=uses_earlier)

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

    def poll(self) -> Completion | None:
        """Return the next response that is finished now, or None; nothing is generated.

        Raises: SpecError if the policy's output is not a number.
        """
        if self._call.fault is not None:
            raise self._call.fault
        return self._call.inbox.popleft() if self._call.inbox else None

    def so_far(self) -> list[Completion]:
        """Return what there is of responses under way, as `abort` would, and break nothing off.

        What waits for a row is not there, also where it had one before; whoever looks again finds it later, and longer.
        """
        return self._engine.scheduler.so_far(self._call)

    def abort(self) -> list[Completion]:
        """Stop what is outstanding, free its rows, and return what there is of it."""
        return self._engine.scheduler.abort(self._call)
