"""An engine that says what a script has it say, with log-probs that name each draw: for episodes of a policy that knows
what it wants.  Everything else is as the protocol of engines has it: streams, stop tokens, lengths, order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from torch import Tensor
from typing_extensions import override

from runtime.data.tokenizers import TextTokenizer
from runtime.protocols import Completion, Generation, GenerationRequest, RolloutEngine

# What the policy says behind a text, in the turn that samples number from 0.
Script = Callable[[str, int], str]


class ScriptedEngine(RolloutEngine):
    """Says the script's text and the end of sequence, as far as the length allows."""

    def __init__(self, script: Script, tokenizer: TextTokenizer) -> None:
        self.script = script
        self.tokenizer = tokenizer
        self.requests: list[GenerationRequest] = []

    @override
    def begin(self) -> Generation:
        return _Generation(self)

    @override
    async def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        generation = self.begin()
        generation.submit(requests)
        while (completion := await generation.next()) is not None:
            yield completion

    @override
    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        """Hold none."""

    @override
    def weights(self) -> Iterator[tuple[str, Tensor]]:
        return iter(())


class _Generation(Generation):
    def __init__(self, engine: ScriptedEngine) -> None:
        self._engine = engine
        self._ready: deque[Completion] = deque()
        self._num_requests = 0

    @override
    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        for request in requests:
            self._engine.requests.append(request)
            for sample in range(request.num_samples):
                self._ready.append(self._said(request, sample))
            self._num_requests += 1

    @override
    async def next(self) -> Completion | None:
        await asyncio.sleep(0)
        return self._ready.popleft() if self._ready else None

    @override
    def abort(self) -> list[Completion]:
        self._ready.clear()
        return []

    def _said(self, request: GenerationRequest, sample: int) -> Completion:
        engine = self._engine
        before = engine.tokenizer.decode(request.tokens, keeps_special=True)
        text = engine.script(before, request.first_sample + sample)
        tokens = (*engine.tokenizer.encode(text), engine.tokenizer.eos_token_id)[: request.max_new_tokens]
        found = (n for n in range(1, len(tokens) + 1) if _ends(request, tokens[:n]))
        tokens = tokens[: next(found, len(tokens))]
        return Completion(
            request=self._num_requests,
            sample=sample,
            tokens=tokens,
            logprobs=tuple(-1.0 - 0.001 * (request.first_draw + at) for at in range(len(tokens))),
            versions=(7,) * len(tokens),
            finish="stop" if _ends(request, tokens) else "length",
        )


def _ends(request: GenerationRequest, tokens: Sequence[int]) -> bool:
    """Whether the last of some tokens ends a response."""
    text = "" if request.decode is None else request.decode(tokens)
    return tokens[-1] in request.stop_token_ids or any(stop in text for stop in request.stop_strings)
