"""The seams of the runtime: what a schedule asks of an engine, a trainer, a reward or a sink.

A method enters a protocol when a loop calls it.  Every implementation passes the same contract tests
(tests/contract/).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from compiler.ir.rollout import Sampling
    from runtime.checkpoint.parts import Part
    from stdlib.samples import ExpertIds, Group, Sample, TrainBatch


@dataclass(frozen=True, kw_only=True, slots=True)
class DrawKey:
    """Names the random stream of one group: draws depend on it, the sample's index and the token's position only."""

    seed: int
    stage: int
    step: int
    group: int


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationRequest:
    """A prompt and how many responses to it are wanted.

    Args:
        tokens: the prompt, at least one token.
        num_samples: responses; sample i draws from the stream (key, first_sample + i).
        stop_token_ids: tokens that end a response; the one that did is part of it.
        first_draw: tokens of the response that were drawn before and end `tokens`: the next one takes the draw of this
            position, so that a response that was broken off goes on in its own stream.
        keeps_prefix: whether later requests are likely to begin with this one's tokens and response, as the next turn
            of an episode does; then an engine that can keeps what it computed of them.
        stop_strings: texts that end a response as soon as it has one of them; the token that completes it is the last
            one, also where a part of it lies behind the string.  None of several tokens' making is missed.
        decode: makes text of tokens, for stop_strings.
        min_new_tokens: before the response has so many tokens, no stop token is drawn, as if its probability were 0,
            and no stop string ends it; what was drawn before, `first_draw`, counts.
        prompt_logprobs_from: from which position on the log-probs of the prompt's tokens are wanted, 1 or more.
        logprob_token_ids: tokens whose log-probs are wanted at every position of the response, and of the prompt from
            `prompt_logprobs_from` on.
        top_logprobs: how many of the likeliest tokens are wanted at the same positions.

    Without stop tokens and stop strings a response goes on to max_new_tokens.
    """

    key: DrawKey
    tokens: tuple[int, ...]
    num_samples: int
    max_new_tokens: int
    stop_token_ids: frozenset[int]
    sampling: Sampling
    first_sample: int = 0
    first_draw: int = 0
    keeps_prefix: bool = True
    stop_strings: tuple[str, ...] = ()
    decode: Callable[[Sequence[int]], str] | None = None
    min_new_tokens: int = 0
    prompt_logprobs_from: int | None = None
    logprob_token_ids: tuple[int, ...] = ()
    top_logprobs: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Completion:
    """One response, finished or broken off.

    `request` and `sample` index it; `tokens` are those drawn for this request; `logprobs` are natural logs under the
    distribution that was sampled from (after temperature, top-k and top-p; at temperature 0 that of the unfiltered
    softmax at temperature 1), one a token.  `stop_reason` is the token or the string that ended it.
    `expert_ids`, where they are recorded, are those of the request's tokens and of all drawn ones but the last.

    Log-probs that were asked for are those of the unfiltered softmax at the request's temperature, 1 where that is 0:
    `prompt_logprobs` of the prompt's tokens from the position on that was asked for; `token_logprobs`, at each position
    of the response, of the tokens asked for; `top_logprobs`, at each position, the likeliest tokens with theirs, the
    likeliest first; `prompt_token_logprobs` and `prompt_top_logprobs` the same at the positions of `prompt_logprobs`.
    Those of a prompt are of the weights that the response was begun with.

    `num_cached_tokens` of the request's tokens were held from before and not computed for it; completions that differ
    in nothing else are equal.
    """

    request: int
    sample: int
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    versions: tuple[int, ...]
    finish: Literal["stop", "length", "abort"]
    stop_reason: int | str | None = None
    prompt_logprobs: tuple[float, ...] = ()
    token_logprobs: tuple[tuple[float, ...], ...] = ()
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    prompt_token_logprobs: tuple[tuple[float, ...], ...] = ()
    prompt_top_logprobs: tuple[tuple[tuple[int, float], ...], ...] = ()
    expert_ids: ExpertIds | None = None
    num_cached_tokens: int = field(default=0, compare=False)


class Generation(Protocol):
    """Requests under way, to which more can be added, and which can be broken off."""

    def submit(self, requests: Sequence[GenerationRequest]) -> None:
        """Add requests; they are numbered on from those before.  Raises: SpecError if one cannot be served."""
        ...

    async def next(self) -> Completion | None:
        """Return the next finished response, in any order, or None if none is outstanding; other tasks may run."""
        ...

    def abort(self) -> list[Completion]:
        """Stop all that is outstanding and let go of its memory.

        Returns: responses that are finished and were not fetched, and those that were broken off after at least one
        token, with finish "abort".
        """
        ...


class RolloutEngine(Protocol):
    """Generates text from the weights that it was last given.

    When responses end is a function of the requests and the weights alone: `begin` with the same requests yields the
    same responses in the same order, and `abort` after the same number of them the same parts.
    """

    def generate(self, requests: Sequence[GenerationRequest]) -> AsyncIterator[Completion]:
        """Yield each response as soon as it is finished, in any order; between yields other tasks may run."""
        ...

    def begin(self) -> Generation:
        """Return a generation without requests."""
        ...

    def load_weights(self, tensors: Iterator[tuple[str, Tensor]], *, version: int) -> None:
        """Take over weights by their Hugging Face names.  Raises: SpecError if a name or shape does not fit."""
        ...

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights in use by their Hugging Face names, to be compared with the trainer's."""
        ...


class SendsWeights(Protocol):
    """Gives an engine what is trained."""

    def __call__(self, version: int, *, verify: bool) -> None:
        """Send the weights as a version; with `verify` compare them afterwards.  Raises: SpecError RLC0621."""
        ...


@runtime_checkable
class Counting(Protocol):
    """An engine that counts what happens to requests, for the metrics of a step."""

    def counters(self) -> Mapping[str, int]:
        """Return what happened since the engine was made, by name."""
        ...


class HasWeights(Protocol):
    """Holds weights."""

    def named_weights(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights by their Hugging Face names, fp32."""
        ...


class Learner(HasWeights, Protocol):
    """Holds weights and the optimizer, and takes steps."""

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a whole global batch and return its metrics."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs, the weights under `model.<name>`."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned, and go on bit by bit as it would have.  Raises: SpecError RLC0644."""
        ...


class Trainer(Learner, Protocol):
    """Trains a policy: computes log-probs as well."""

    def logprobs(self, batch: TrainBatch, *, of: Literal["policy", "reference", "teacher"]) -> Tensor:
        """Return [T] float32 log-probs of each token given those before it, at the rollout's temperature."""
        ...

    def with_old_logprobs(self, batch: TrainBatch) -> TrainBatch:
        """Return the batch with the policy's log-probs as its old ones, and where their routing is replayed with it."""
        ...

    def refresh_reference(self) -> None:
        """Let the reference take over the policy's weights.  Raises: SpecError RLC0643 if there is no reference."""
        ...


class Scorer(Learner, Protocol):
    """Trains a reward model: says what answers are worth."""

    def scores(self, batch: TrainBatch) -> Tensor:
        """Return [N] float32 the score of each answer."""
        ...


class Critic(Protocol):
    """Says what a state is worth, and learns it."""

    def values(self, batch: TrainBatch) -> Tensor:
        """Return [T] float32 the value of the state before each token."""
        ...

    def step(self, batch: TrainBatch) -> Mapping[str, float]:
        """Take one optimizer step on a global batch with values and returns, and return its metrics."""
        ...

    def state(self) -> dict[str, Tensor]:
        """Return copies of all that a continued run needs."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` returned.  Raises: SpecError RLC0644."""
        ...


class SavesApart(Protocol):
    """Processes that write what they hold of a checkpoint."""

    def save_begins(self, folder: Path) -> None:
        """Copy it, and begin to write it into a folder."""
        ...

    def save_ends(self) -> Sequence[Part]:
        """Return what was written, once all of it is.  May be called in a thread."""
        ...


class Measure(Protocol):
    """Measures what is trained on what is held out."""

    async def measure(self, *, stage: int) -> dict[str, float]:
        """Return metrics by name, `eval/<set>/<metric>`, each with its interval beside it."""
        ...


class Reward(Protocol):
    """Judges responses, concurrently with generation."""

    async def score_all(self, groups: AsyncIterator[Group]) -> list[Group]:
        """Return all groups with every sample's reward, in the order of their ids.  Raises: SpecError if one fails."""
        ...


class Sink(Protocol):
    """Somewhere that metrics go."""

    def write(self, row: Mapping[str, float | int | str]) -> None:
        """Record one flat row; `step` and `stage` are always in it."""
        ...

    def transcripts(self, step: int, samples: Sequence[Sample]) -> None:
        """Record some sampled texts."""
        ...

    def close(self) -> None:
        """Flush."""
        ...
