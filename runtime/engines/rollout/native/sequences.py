"""What the scheduler has in hand: calls, groups of samples that wait for a row, and sequences that have one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import Literal

from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from runtime.protocols import Completion, GenerationRequest
from runtime.routed_tokens import continued
from stdlib.samples import ExpertIds


@dataclass(kw_only=True, slots=True, eq=False)
class Call:
    """One generation: how many requests it has had, what is finished and not yet fetched, and how much is to come."""

    num_requests: int = 0
    num_outstanding: int = 0
    inbox: deque[Completion] = field(default_factory=deque)
    fault: SpecError | None = None


@dataclass(kw_only=True, slots=True, eq=False)
class Prompt:
    """What is computed of a prompt, alone or beside others, under one version of weights.

    kv_LGKPH: [2 L, G, K, P, H], or [L, G, K, P, H] where the values are channels of the keys; `at` says which of the G
    is this one.  num_done: its tokens that are computed.  logits_GV: after the last token, once that is one of them.
    expert_ids_GPLC: the experts that the tokens visited, where that is recorded.  hidden_GD: the hidden state after the
    last token, where tokens are drafted.
    """

    kv_LGKPH: Tensor
    at: int
    num_done: int
    version: int
    logits_GV: Tensor | None = None
    expert_ids_GPLC: Tensor | None = None
    hidden_GD: Tensor | None = None

    def alone(self) -> Prompt:
        """Return a copy of one prompt, so that the memory of the others can go."""
        if self.kv_LGKPH.shape[1] == 1 or self.logits_GV is None:
            return self
        only = slice(self.at, self.at + 1)
        kv, logits = self.kv_LGKPH[:, only].clone(), self.logits_GV[only].clone()
        ids = None if self.expert_ids_GPLC is None else self.expert_ids_GPLC[only].clone()
        hidden = None if self.hidden_GD is None else self.hidden_GD[only].clone()
        return replace(self, kv_LGKPH=kv, logits_GV=logits, expert_ids_GPLC=ids, hidden_GD=hidden, at=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptLogprobs:
    """What is wanted and known of the tokens of a prompt: their log-probs, and those of named and of the likeliest."""

    logprobs: tuple[float, ...] = ()
    named: tuple[tuple[float, ...], ...] = ()
    top: tuple[tuple[tuple[int, float], ...], ...] = ()

    def __add__(self, more: PromptLogprobs) -> PromptLogprobs:
        return PromptLogprobs(
            logprobs=self.logprobs + more.logprobs, named=self.named + more.named, top=self.top + more.top
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawn:
    """What a sequence drew: tokens, their log-probs, the version of the weights that drew each, and, where they are
    wanted, the log-probs of tokens that were named and of the likeliest.

    expert_ids: of the whole sequence but its last token.  Of what is run again after a preemption they stay the first.
    prompt: what was wanted of the prompt, under the weights that the first token was drawn with.
    """

    tokens: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()
    versions: tuple[int, ...] = ()
    named: tuple[tuple[float, ...], ...] = ()
    top: tuple[tuple[tuple[int, float], ...], ...] = ()
    expert_ids: ExpertIds | None = None
    prompt: PromptLogprobs = PromptLogprobs()

    def __add__(self, more: Drawn) -> Drawn:
        return Drawn(
            tokens=self.tokens + more.tokens,
            logprobs=self.logprobs + more.logprobs,
            versions=self.versions + more.versions,
            named=self.named + more.named,
            top=self.top + more.top,
            expert_ids=continued(self.expert_ids, more.expert_ids),
            prompt=self.prompt if self.tokens else more.prompt,
        )


@dataclass(kw_only=True, slots=True, eq=False)
class Group:
    """Samples of one request that wait, or one sample that was preempted after it had drawn `before`.

    Of the latter, `request` is for what it still lacks, and `first` is its place in the request that was submitted.
    `prompt_logprobs` are those that are wanted and known so far of samples that are still to enter; `num_cached` tokens
    of the prompt were held already.
    """

    call: Call
    request_idx: int
    request: GenerationRequest
    stream: int
    first: int = 0
    before: Drawn = Drawn()
    num_entered: int = 0
    prompt: Prompt | None = None
    prompt_logprobs: PromptLogprobs = PromptLogprobs()
    num_cached: int = 0


@dataclass(kw_only=True, slots=True, eq=False)
class Sequence:
    """A sample under way.  It has `step - began_at` tokens; `marks` says from which token on which version drew.

    `named` and `top` are log-probs that are wanted, at each token; `text_tokens` the whole response, where strings end
    it; `num_cached` how many tokens of the prompt did not have to be run for it; `prompt_logprobs` what was known of
    the prompt when it entered: the weights may change before the next sample does.
    """

    group: Group
    sample: int
    entered_as: int
    began_at: int = 0
    lane_idx: int = 0
    num_cached: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)
    named: list[tuple[float, ...]] = field(default_factory=list)
    top: list[tuple[tuple[int, float], ...]] = field(default_factory=list)
    text_tokens: list[int] = field(default_factory=list)
    prompt_logprobs: PromptLogprobs = PromptLogprobs()

    @property
    def ends_at(self) -> int:
        """The step after its last token."""
        return self.began_at + self.group.request.max_new_tokens

    def num_drawn(self, step: int) -> int:
        """Return how many tokens it has drawn since it entered."""
        return step - self.began_at

    def position(self, step: int) -> int:
        """Return the position of its current token, whose keys and values are not yet computed."""
        return len(self.group.request.tokens) + step - self.began_at - 1

    def versions(self, num_tokens: int) -> tuple[int, ...]:
        """Return the version that drew each of its tokens since it entered."""
        versions: list[int] = []
        bounds = [first for first, _ in self.marks[1:]] + [num_tokens]
        for (first, version), bound in zip(self.marks, bounds, strict=True):
            versions += [version] * (bound - first)
        return tuple(versions)

    def rest(self, drawn: Drawn) -> Group:
        """Return what it lacks, as a group of its own that goes on at its own draw."""
        group, request = self.group, self.group.request
        lacking = replace(
            request,
            tokens=request.tokens + drawn.tokens,
            num_samples=1,
            max_new_tokens=request.max_new_tokens - len(drawn.tokens),
            first_sample=request.first_sample + self.sample,
            first_draw=request.first_draw + len(drawn.tokens),
            prompt_logprobs_from=None,
        )
        return Group(
            call=group.call,
            request_idx=group.request_idx,
            request=lacking,
            stream=group.stream,
            first=group.first + self.sample,
            before=group.before + drawn,
            num_cached=self.num_cached,
        )


def completion_of(
    sequence: Sequence,
    drawn: Drawn,
    finish: Literal["stop", "length", "abort"],
    stop_reason: int | str | None = None,
) -> Completion:
    """Return a response with what it drew before it was preempted."""
    group, whole = sequence.group, sequence.group.before + drawn
    return Completion(
        request=group.request_idx,
        sample=group.first + sequence.sample,
        tokens=whole.tokens,
        logprobs=whole.logprobs,
        versions=whole.versions,
        finish=finish,
        stop_reason=stop_reason,
        prompt_logprobs=whole.prompt.logprobs,
        prompt_token_logprobs=whole.prompt.named,
        prompt_top_logprobs=whole.prompt.top,
        token_logprobs=whole.named,
        top_logprobs=whole.top,
        expert_ids=whole.expert_ids,
        num_cached_tokens=sequence.num_cached,
    )
