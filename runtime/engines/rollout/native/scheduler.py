"""Continuous batching: which sequences are under way, which wait, and when each step runs.

One scheduler serves all calls that are open at a time.  Samples enter in the order in which they were asked for, as
rows become free; a prompt is run once for all its samples, also for those that enter later.  When sequences leave and
nothing waits, the others close ranks, so that a step costs what the living need.

If the weights change while sequences are under way, these go on with the keys and values that they have, and each
token is stamped with the version that drew it; a prompt whose samples wait is run again.

Shapes: G prompts, P positions, M rows that enter, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.native.cache import SequenceCache
from runtime.engines.rollout.native.checks import not_finite
from runtime.engines.rollout.native.draws import group_stream, uniform_draws
from runtime.engines.rollout.native.expert_log import ExpertLog
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.rollout.native.sampling import Sampler, StopTable
from runtime.protocols import Completion, GenerationRequest
from stdlib.samples import ExpertIds

# Steps between two chances for other tasks to run.
_STEPS_AT_A_TIME: Final = 8
# Rows that hold no sequence cost a step as much as others do, and closing ranks costs a copy.
_IDLE_FRAC_MAX: Final = 1 / 16
_PREFILL_TOKENS_MAX: Final = 4096
_PADDED_TO_MAX: Final = 1.25


@dataclass(kw_only=True, slots=True, eq=False)
class Call:
    """One generation: how many requests it has had, what is finished and not yet fetched, and how much is to come."""

    num_requests: int = 0
    num_outstanding: int = 0
    inbox: deque[Completion] = field(default_factory=deque)
    fault: SpecError | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Prefilled:
    """What is cached of prompts, and the logits [G, V] after them, under one version of weights.

    Keys and values: [2 L, G, K, P, H], or [L, G, K, P, H] where the values are channels of the keys.
    expert_ids_GPLC: the experts that the tokens visited, where they are recorded.
    """

    kv_LGKPH: Tensor
    logits_GV: Tensor
    version: int
    expert_ids_GPLC: Tensor | None

    def only(self, idx: int) -> _Prefilled:
        """Return a copy of one prompt, so that the memory of the others can go."""
        if self.logits_GV.shape[0] == 1:
            return self
        kv, logits = self.kv_LGKPH[:, idx : idx + 1].clone(), self.logits_GV[idx : idx + 1].clone()
        ids = None if self.expert_ids_GPLC is None else self.expert_ids_GPLC[idx : idx + 1].clone()
        return _Prefilled(kv_LGKPH=kv, logits_GV=logits, version=self.version, expert_ids_GPLC=ids)


@dataclass(kw_only=True, slots=True, eq=False)
class _Group:
    call: Call
    request_idx: int
    request: GenerationRequest
    stream: int
    num_entered: int = 0
    prefilled: _Prefilled | None = None
    prompt_idx: int = 0


@dataclass(kw_only=True, slots=True, eq=False)
class _Sequence:
    """A sample under way.  It has `step - began_at` tokens; `marks` says from which token on which version drew."""

    group: _Group
    sample: int
    began_at: int
    marks: list[tuple[int, int]]

    @property
    def ends_at(self) -> int:
        return self.began_at + self.group.request.max_new_tokens


class Scheduler:
    """The rows of one engine and the queue before them."""

    def __init__(
        self, network: Decoder, cache: SequenceCache, *, num_rows: int, expert_log: ExpertLog | None = None
    ) -> None:
        self._network = network
        self._cache = cache
        self._expert_log = expert_log
        self._num_rows = num_rows
        self._waiting: deque[_Group] = deque()
        self._rows: list[_Sequence | None] = []
        self._step = 0
        self._version = 0
        self._sampler: Sampler | None = None
        self._stops = StopTable([frozenset()])

    def open(self) -> Call:
        """Return a call without requests."""
        return Call()

    def submit(self, call: Call, requests: Sequence[GenerationRequest]) -> None:
        """Queue requests, which fit."""
        for idx, request in enumerate(requests, call.num_requests):
            stream = group_stream(request.key)
            self._waiting.append(_Group(call=call, request_idx=idx, request=request, stream=stream))
        call.num_requests += len(requests)
        call.num_outstanding += sum(r.num_samples for r in requests)

    def abort(self, call: Call) -> list[Completion]:
        """Drop what is left of a call; return what nobody fetched, and the tokens of those that are broken off."""
        self._waiting = deque(g for g in self._waiting if g.call is not call)
        rows = [row for row, s in enumerate(self._rows) if s is not None and s.group.call is call]
        found = [*call.inbox, *(self._completion(row, "abort") for row in rows)]
        self._vacate(rows)
        call.inbox.clear()
        call.num_outstanding = 0
        return found

    def advance(self, *, version: int) -> None:
        """Admit what fits and run some steps, until a sequence is finished or other tasks deserve a turn.

        Args:
            version: of the weights that are loaded.
        """
        with torch.inference_mode():
            self._note_version(version)
            while self._waiting and self._num_live() < self._num_rows:
                self._admit()
            if self._num_live():
                self._close_ranks()
                self._run()

    def _num_live(self) -> int:
        return len(self._rows) - self._rows.count(None)

    def _note_version(self, version: int) -> None:
        if version != self._version:
            for sequence in filter(None, self._rows):
                sequence.marks.append((self._step - sequence.began_at, version))
        self._version = version

    def _admit(self) -> None:
        """Start as many waiting samples as there are free rows, or fewer if their prompts are long."""
        sequences = list(self._take_waiting(self._num_rows - self._num_live()))
        groups = list(dict.fromkeys(s.group for s in sequences))
        self._prefill([g for g in groups if g.prefilled is None or g.prefilled.version != self._version])
        holes = [row for row, s in enumerate(self._rows) if s is None]
        rows = (holes + list(range(len(self._rows), self._num_rows)))[: len(sequences)]
        self._rows += [None] * (rows[-1] + 1 - len(self._rows))
        for row, sequence in zip(rows, sequences, strict=True):
            self._rows[row] = sequence
        self._sampler = None
        self._enter(rows, sequences)
        for group in groups:
            if group.num_entered < group.request.num_samples and group.prefilled is not None:
                group.prefilled, group.prompt_idx = group.prefilled.only(group.prompt_idx), 0
            else:
                group.prefilled = None

    def _take_waiting(self, most: int) -> Iterator[_Sequence]:
        """Yield the next samples, of no more new prompts than may be in memory twice."""
        num_prompt_tokens = 0
        while most and self._waiting:
            group = self._waiting[0]
            if not group.num_entered:
                if num_prompt_tokens and num_prompt_tokens + len(group.request.tokens) > _PREFILL_TOKENS_MAX:
                    return
                num_prompt_tokens += len(group.request.tokens)
            # The first token is drawn on entering, so the next step finds one there.
            marks = [(0, self._version)]
            yield _Sequence(group=group, sample=group.num_entered, began_at=self._step - 1, marks=marks)
            most -= 1
            group.num_entered += 1
            if group.num_entered == group.request.num_samples:
                self._waiting.popleft()

    def _prefill(self, groups: list[_Group]) -> None:
        """Run prompts, those of like length together."""
        groups.sort(key=lambda g: len(g.request.tokens))
        while groups:
            shortest = len(groups[0].request.tokens)
            chunk: list[_Group] = []
            for group in groups:
                longest = len(group.request.tokens)
                if chunk and (longest > shortest * _PADDED_TO_MAX or longest * (len(chunk) + 1) > _PREFILL_TOKENS_MAX):
                    break
                chunk.append(group)
            del groups[: len(chunk)]
            self._prefill_chunk(chunk)

    def _prefill_chunk(self, chunk: list[_Group]) -> None:
        prompts = [g.request.tokens for g in chunk]
        width = max(len(p) for p in prompts)
        token_GP = torch.tensor([[*p, *[0] * (width - len(p))] for p in prompts])
        kv_LGKPH, logits_GV = self._network.prefill(token_GP, torch.tensor([len(p) - 1 for p in prompts]))
        ids = None if self._expert_log is None else self._network.chosen_experts().unflatten(0, tuple(token_GP.shape))
        prefilled = _Prefilled(kv_LGKPH=kv_LGKPH, logits_GV=logits_GV, version=self._version, expert_ids_GPLC=ids)
        for idx, group in enumerate(chunk):
            group.prefilled, group.prompt_idx = prefilled, idx

    def _enter(self, rows: list[int], sequences: list[_Sequence]) -> None:
        """Fill rows with their prompts and draw the first tokens."""
        requests = [s.group.request for s in sequences]
        samples = [r.first_sample + s.sample for r, s in zip(requests, sequences, strict=True)]
        num_draws = max(r.max_new_tokens for r in requests)
        streams, firsts = [s.group.stream for s in sequences], [r.first_draw for r in requests]
        draws_MN = uniform_draws(streams, samples, num_draws=num_draws, first_draws=firsts)
        self._cache.enter(rows, prompt_lengths=[len(r.tokens) for r in requests], draws_MN=draws_MN)
        by_prefilled: dict[int, tuple[_Prefilled, list[int]]] = {}
        for place, sequence in enumerate(sequences):
            prefilled = sequence.group.prefilled
            assert prefilled is not None
            by_prefilled.setdefault(id(prefilled), (prefilled, []))[1].append(place)
        logits_MV = torch.empty(len(rows), next(iter(by_prefilled.values()))[0].logits_GV.shape[1])
        for prefilled, places in by_prefilled.values():
            prompt_of_row = [sequences[i].group.prompt_idx for i in places]
            self._cache.fill_prompts([rows[i] for i in places], prefilled.kv_LGKPH, prompt_of_row=prompt_of_row)
            if self._expert_log is not None and prefilled.expert_ids_GPLC is not None:
                ids_GPLC = prefilled.expert_ids_GPLC
                self._expert_log.fill_prompts([rows[i] for i in places], ids_GPLC, prompt_of_row=prompt_of_row)
            logits_MV[torch.tensor(places)] = prefilled.logits_GV[torch.tensor(prompt_of_row)]
        token_M, logprob_M = Sampler([r.sampling for r in requests]).draw(logits_MV, draws_MN[:, 0])
        self._cache.put_in(rows, token_M, logprob_M)
        hit_M = StopTable([r.stop_token_ids for r in requests]).hits(token_M)
        self._leave([rows[i] for i in hit_M.nonzero()[:, 0].tolist()], logprob_M)

    def _close_ranks(self) -> None:
        while self._rows and self._rows[-1] is None:
            self._rows.pop()
            self._sampler = None
        num_live = self._num_live()
        if len(self._rows) - num_live <= len(self._rows) * _IDLE_FRAC_MAX:
            return
        targets = [row for row in range(num_live) if self._rows[row] is None]
        sources = [row for row in range(num_live, len(self._rows)) if self._rows[row] is not None]
        self._cache.move(sources, targets, num_positions=self._num_positions())
        if self._expert_log is not None:
            self._expert_log.move(sources, targets)
        for source, target in zip(sources, targets, strict=True):
            self._rows[target] = self._rows[source]
        del self._rows[num_live:]
        self._sampler = None

    def _num_positions(self) -> int:
        """Return the length of the longest sequence under way."""
        return max(len(s.group.request.tokens) + self._step - s.began_at for s in self._rows if s is not None)

    def _run(self) -> None:
        cache, num_rows = self._cache, len(self._rows)
        sampler = self._sampler or self._settle()
        num_steps = min(_STEPS_AT_A_TIME, min(s.ends_at for s in self._rows if s is not None) - self._step)
        window = cache.window(num_rows, num_positions=self._num_positions() - 1 + num_steps)
        token_R = cache.tokens(num_rows)
        sum_R = torch.zeros(num_rows)
        stopped: list[int] = []
        for _ in range(num_steps):
            logits_RV = self._network.decode(token_R, window)
            if self._expert_log is not None:
                self._expert_log.put(window.position_R, self._network.chosen_experts())
            cache.advance(num_rows)
            token_R, logprob_R = sampler.draw(logits_RV, cache.draws(num_rows))
            cache.put(token_R, logprob_R)
            sum_R += logprob_R
            self._step += 1
            if not self._stops.is_empty:
                hit_R = self._stops.hits(token_R) & cache.live(num_rows)
                if hit_R.any():
                    stopped = hit_R.nonzero()[:, 0].tolist()
                    break
        self._leave(stopped, sum_R)

    def _settle(self) -> Sampler:
        """Condense the settings of the rows, after they changed."""
        any_request = next(s.group.request for s in self._rows if s is not None)
        requests = [any_request if s is None else s.group.request for s in self._rows]
        self._stops = StopTable([r.stop_token_ids for r in requests])
        self._sampler = Sampler([r.sampling for r in requests])
        return self._sampler

    def _leave(self, stopped: list[int], logprob_R: Tensor) -> None:
        """Deliver the rows that drew a stop token or have no token left to draw.

        Args:
            logprob_R: summed over the tokens drawn since the last time.
        """
        # What overflows behind the last layer's keys and values leaves no trace in the tokens that follow.
        if not torch.isfinite(logprob_R.sum()):
            return self._abort(not_finite(self._version))
        stops = set(stopped)
        ended = [row for row, s in enumerate(self._rows) if s is not None and (row in stops or self._step >= s.ends_at)]
        for row in ended:
            self._deliver(row, "stop" if row in stops else "length")
        return self._vacate(ended)

    def _deliver(self, row: int, finish: Literal["stop", "length"]) -> None:
        sequence = self._rows[row]
        assert sequence is not None
        call = sequence.group.call
        call.inbox.append(self._completion(row, finish))
        call.num_outstanding -= 1

    def _completion(self, row: int, finish: Literal["stop", "length", "abort"]) -> Completion:
        sequence = self._rows[row]
        assert sequence is not None
        group, num_tokens = sequence.group, self._step - sequence.began_at
        start = len(group.request.tokens)
        tokens, logprobs = self._cache.response(row, start=start, stop=start + num_tokens)
        versions: list[int] = []
        bounds = [first for first, _ in sequence.marks[1:]] + [num_tokens]
        for (first, version), bound in zip(sequence.marks, bounds, strict=True):
            versions += [version] * (bound - first)
        return Completion(
            request=group.request_idx,
            sample=sequence.sample,
            tokens=tokens,
            logprobs=logprobs,
            versions=tuple(versions),
            finish=finish,
            expert_ids=self._expert_ids(row, num_tokens=start + num_tokens - 1),
        )

    def _expert_ids(self, row: int, *, num_tokens: int) -> ExpertIds | None:
        return None if self._expert_log is None else self._expert_log.of(row, num_tokens=num_tokens)

    def _vacate(self, rows: list[int]) -> None:
        for row in rows:
            self._rows[row] = None
        if rows:
            self._cache.park(rows)

    def _abort(self, fault: SpecError) -> None:
        """Give up all calls, and forget keys and values that are not numbers."""
        under_way = [s.group.call for s in self._rows if s is not None]
        for call in [*under_way, *(g.call for g in self._waiting)]:
            call.fault = fault
        self._waiting.clear()
        self._rows = []
        self._cache.clear()
