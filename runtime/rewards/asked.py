"""A reward behind HTTP: the question and the meaning of its answer are the standard library's, the way is ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from compiler.ir.reward_settings import Service
from runtime.rewards.border import RewardResultError
from runtime.rewards.failures import JudgementError
from runtime.rewards.numbers import as_number
from runtime.rewards.sample_term import SampleTerm, where
from runtime.rewards.service import ServiceClient, ServiceError
from stdlib.samples import Sample


class AskedTerm(SampleTerm):
    """Asks a service about each sample.

    Args:
        question: what is sent about a sample.
        score: what a reply means; a ValueError says that it means nothing.
    """

    def __init__(
        self, name: str, settings: Service, *, question: Callable[[Sample], object], score: Callable[[Any], object]
    ) -> None:
        self._name = name
        self._client = ServiceClient(settings)
        self._question = question
        self._score = score

    async def of_sample(self, sample: Sample) -> float:
        """Return the score of a sample.  Raises: JudgementError."""
        try:
            question = self._question(sample)
        except ValueError as error:
            raise JudgementError("raised", self._name, f"could not ask: {error}, {where(sample)}") from error
        try:
            reply = await self._client.ask(question)
        except ServiceError as error:
            raise JudgementError(
                "service", self._name, f"has no answer: its service {error}, {where(sample)}"
            ) from error
        try:
            return as_number(self._score(reply))
        except ValueError as error:
            raise JudgementError("value", self._name, f"came to nothing: {error}, {where(sample)}") from error
        except RewardResultError as bad:
            raise JudgementError("value", self._name, f"was answered {bad}, {where(sample)}") from bad

    def counters(self) -> Mapping[str, int]:
        """Return `retries`: attempts after the first ones."""
        return {"retries": self._client.num_retries}
