"""What passes between rollout, reward and trainer.

A sample is a row of segments, each by one author: the prompt, a response, a tool's answer, the next response.  Each
sampled token carries its log-prob under the distribution it was drawn from and the version of the weights that drew
it, so that off-policy corrections and partial rollouts need no further bookkeeping.

Shape letters: N sequences, T tokens of all sequences end to end, L layers with experts, C experts that a token visits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

if TYPE_CHECKING:
    from torch import Tensor

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
# A text `role`, mostly a text `content`, and of an assistant that calls tools `tool_calls`.
Message = Mapping[str, JsonValue]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """One row of a data set, ready to be sampled from.

    `row` is its index in the data set, `source` the file; both only name it in messages.
    """

    row: int
    source: str
    text: str
    tokens: tuple[int, ...]
    label: JsonValue
    messages: tuple[Message, ...] = ()
    metadata: JsonValue = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleId:
    """Names a sample within a run, and the stream of its random draws."""

    stage: int
    step: int
    group: int
    sample: int


@dataclass(frozen=True, slots=True, eq=False)
class ExpertIds:
    """Which experts tokens visited, from the first one of a sequence on.

    ids_TLC: [T, L, C] int16.  The last token of a sequence has no entry: no pass goes over it.
    """

    ids_TLC: Tensor

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, ExpertIds) and self.ids_TLC.equal(other.ids_TLC)

    @override
    def __hash__(self) -> int:
        return hash(self.ids_TLC.shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Tokens by one author.

    For a sampled segment `logprobs` (natural log, under the sampling distribution) and `versions` (of the weights) have
    one entry a token; for others both are empty.
    """

    tokens: tuple[int, ...]
    is_sampled: bool
    logprobs: tuple[float, ...] = ()
    versions: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One rollout of one prompt.  `text` is the decoded response: all sampled segments, special tokens left out.

    `reward` is what advantages are made of, `raw_reward` the same before shaping, `reward_terms` the score of each
    reward by its name, before weights; all three are there once the sample has been judged.  `has_failed` says that a
    judgement of it failed, and that a score for such responses stands in the place of its reward.

    `expert_ids`, where an engine records them, are those of all segments end to end: of each token the experts that it
    visited in the pass that drew the token behind it.
    """

    id: SampleId
    prompt: Prompt
    segments: tuple[Segment, ...]
    text: str
    finish: Literal["stop", "length", "abort"]
    reward: float | None = None
    raw_reward: float | None = None
    reward_terms: Mapping[str, float] = field(default_factory=dict)
    has_failed: bool = False
    expert_ids: ExpertIds | None = None

    @property
    def is_empty(self) -> bool:
        """Whether the response has no text, white space aside."""
        return not self.text.strip()

    @property
    def num_response_tokens(self) -> int:
        """Tokens that the policy sampled."""
        return sum(len(s.tokens) for s in self.segments if s.is_sampled)


@dataclass(frozen=True, kw_only=True, slots=True)
class Group:
    """All samples of one prompt, in the order of their ids."""

    prompt: Prompt
    samples: tuple[Sample, ...]


@dataclass(frozen=True, kw_only=True)
class TrainBatch:
    """Sequences to train on, laid end to end: no padding.

    tokens_T: [T] int64.
    lengths_N: tokens of each sequence; sums to T.
    row_size: sequences of one row, which stand together and are trained on together: 2 for pairs of answers.
    mask_T: [T] float32, 1 where the token counts in the loss, as the thing predicted.
    rollout_logprobs_T: [T] float32, 0 where the token was not sampled.
    versions_T: [T] int64 version of the weights that sampled the token, -1 where it was not sampled.
    advantages_T: [T] float32.
    old_logprobs_T: [T] float32 denominator of the policy ratio; None until somebody fills it in.
    ref_logprobs_T: [T] float32 under the reference model; None where there is none.
    values_T: [T] float32 that a critic gave to the state before each token; returns_T: [T] what it learns.
    is_right_T: [T] float32, 1 in responses that are right; None where nobody asks.
    targets_N: [N] float32 what a reward model learns: the score of each answer, or at the better answer of a pair the
        margin by which it has to score more; None where nobody learns scores.
    weights_T: [T] float32 what the loss of each token is multiplied with; None where all are 1.
    expert_ids_TLC: [T, L, C] int16 the experts that a token has to visit, -1 where nobody recorded them; None where the
        router chooses.
    compared_T: [T] float32, 1 where the forward pass of the step is held against the engine that sampled; None where
        nobody asks.
    """

    tokens_T: Tensor
    lengths_N: tuple[int, ...]
    mask_T: Tensor
    rollout_logprobs_T: Tensor
    versions_T: Tensor
    advantages_T: Tensor
    old_logprobs_T: Tensor | None = None
    ref_logprobs_T: Tensor | None = None
    weights_T: Tensor | None = None
    is_right_T: Tensor | None = None
    values_T: Tensor | None = None
    row_size: int = 1
    returns_T: Tensor | None = None
    expert_ids_TLC: Tensor | None = None
    targets_N: Tensor | None = None
    compared_T: Tensor | None = None
