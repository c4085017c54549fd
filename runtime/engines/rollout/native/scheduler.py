"""Continuous batching: which sequences are under way, which wait, and when each step runs.

One scheduler serves all calls that are open at a time.  Samples enter in the order in which they were asked for, as
rows and memory become free; a prompt is run once for all its samples, also for those that enter later.  When sequences
leave and nothing waits, the others close ranks, so that a step costs what the living need.  When one outgrows its row
and there is no memory for a wider one, the youngest leaves and waits again, at the head of the queue; later its tokens
so far are run as a prompt and it goes on at its own draw.

If the weights change while sequences are under way, these go on with the keys and values that they have, and each
token is stamped with the version that drew it; a prompt whose samples wait is run again.

Shapes: M rows that enter, N draws, R rows under way, V vocabulary.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import SpecError
from runtime.engines.rollout.native.cache import Window
from runtime.engines.rollout.native.checks import not_finite
from runtime.engines.rollout.native.drafter import Drafter
from runtime.engines.rollout.native.draws import group_stream, uniform_draws
from runtime.engines.rollout.native.endings import Endings
from runtime.engines.rollout.native.lanes import Lane, Lanes, Place
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.rollout.native.prefixes import Held
from runtime.engines.rollout.native.prompts import Prompts
from runtime.engines.rollout.native.sampling import Sampler
from runtime.engines.rollout.native.sequences import Call, Drawn, Group, Prompt, completion_of
from runtime.engines.rollout.native.sequences import Sequence as UnderWay
from runtime.protocols import Completion, GenerationRequest

# Steps between two chances for other tasks to run.
_STEPS_AT_A_TIME: Final = 8
# To run so few tokens anew takes no longer than to keep them.
_WORTH_KEEPING: Final = 32


class Scheduler:
    """The rows of one engine and the queue before them.

    `lanes` is the memory.

    Args:
        num_rows: sequences at once.
        prefill_tokens: prompt tokens that are run between two steps of sequences under way, at most; and at once.
        num_drafts: tokens that are drafted for each sequence and step; the lanes have room for them.
    """

    def __init__(
        self, network: Decoder, lanes: Lanes, *, num_rows: int, prefill_tokens: int, num_drafts: int = 0
    ) -> None:
        self.lanes = lanes
        self._network = network
        self._drafter = Drafter(network, num_drafts=num_drafts) if num_drafts else None
        self._prompts = Prompts(network, lanes, self._drafter)
        self._num_rows = num_rows
        self._prefill_tokens = prefill_tokens
        self._waiting: deque[Group] = deque()
        self._step = 0
        self._num_entered = 0
        self._num_preempted = 0
        self._num_aborted = 0
        self._num_mixed = 0
        self._version = 0
        self._sampler: Sampler | None = None
        self._settled: tuple[Sampler, Endings] | None = None

    def open(self, *, keeps_prefixes: bool = False) -> Call:
        """Return a call without requests.  Where nothing is under way, nothing of before is left to depend on, unless
        it is to be kept.
        """
        if not (keeps_prefixes or self._waiting or self.lanes.num_live):
            self.lanes.prefixes.clear()
        return Call()

    def counters(self) -> dict[str, int]:
        """Return what happened since the engine was made, by name."""
        drafter = self._drafter
        own = {
            "prompt_tokens": self._prompts.num_tokens,
            "reused_tokens": self._prompts.num_reused_tokens,
            "evicted_tokens": self.lanes.prefixes.num_evicted_tokens,
            "preemptions": self._num_preempted,
            "aborted_responses": self._num_aborted,
            "mixed_version_responses": self._num_mixed,
        }
        if drafter is None:
            return own
        return {**own, "drafted_tokens": drafter.num_drafted, "accepted_tokens": drafter.num_accepted}

    def submit(self, call: Call, requests: Sequence[GenerationRequest]) -> None:
        """Queue requests, which fit."""
        for idx, request in enumerate(requests, call.num_requests):
            stream = group_stream(request.key)
            self._waiting.append(Group(call=call, request_idx=idx, request=request, stream=stream))
        call.num_requests += len(requests)
        call.num_outstanding += sum(r.num_samples for r in requests)

    def abort(self, call: Call) -> list[Completion]:
        """Drop what is left of a call; return what nobody fetched, and the tokens of those that are broken off."""
        places = [place for place in self.lanes.live() if place.sequence.group.call is call]
        found = [*call.inbox, *(completion_of(p.sequence, self._drawn(p), "abort") for p in places)]
        preempted = (g for g in self._waiting if g.call is call and g.before.tokens)
        found += [
            completion_of(UnderWay(group=g, sample=0, entered_as=0, num_cached=g.num_cached), Drawn(), "abort")
            for g in preempted
        ]
        self._num_aborted += len(found) - len(call.inbox)
        self._waiting = deque(g for g in self._waiting if g.call is not call)
        with torch.inference_mode():
            self._vacate(places)
        call.inbox.clear()
        call.num_outstanding = 0
        return found

    def so_far(self, call: Call) -> list[Completion]:
        """Return what there is of the sequences of a call that have rows; all go on."""
        places = (place for place in self.lanes.live() if place.sequence.group.call is call)
        return [completion_of(p.sequence, self._drawn(p), "abort") for p in places]

    def advance(self, *, version: int) -> None:
        """Admit what fits and run some steps, until a sequence is finished or other tasks deserve a turn.

        Args:
            version: of the weights that are loaded.
        """
        with torch.inference_mode():
            self._note_version(version)
            self._move_on()
            self._admit_all()
            if self.lanes.num_live:
                for lane in self.lanes:
                    if lane.close_ranks(self._step):
                        self._sampler = self._settled = None
                if self._drafter is None:
                    self._run()
                else:
                    self._run_drafts(self._drafter)

    def _note_version(self, version: int) -> None:
        if version != self._version:
            for _, _, sequence in self.lanes.live():
                sequence.marks.append((self._step - sequence.began_at, version))
            self.lanes.prefixes.clear()
        self._version = version

    def _move_on(self) -> None:
        """Give sequences that have filled their rows wider ones; where these do not fit, the youngest leave."""
        while (full := self._full()) and self._num_more(full) > self.lanes.num_claimable:
            # What is left of it may be kept, and rows may change hands for that.
            self._preempt(max(self.lanes.live(), key=lambda p: p.sequence.entered_as))
        if not full:
            return
        lengths = [p.sequence.position(self._step) for p in full]
        kept = [p.lane.cache.take(p.row, num_positions=n) for p, n in zip(full, lengths, strict=True)]
        drawn = [
            p.lane.cache.drawn(p.row, start=len(p.sequence.group.request.tokens), stop=n + 1)
            for p, n in zip(full, lengths, strict=True)
        ]
        logged = [
            None if p.lane.log is None else p.lane.log.of(p.row, num_tokens=n).ids_TLC
            for p, n in zip(full, lengths, strict=True)
        ]
        drafts = [p.lane.cache.drafts(p.row + 1)[p.row].clone() for p in full]
        for lane, row, _ in full:
            lane.rows[row] = None
            lane.cache.park([row])
        lanes = [self._next_lane(p.sequence) for p in full]
        self.lanes.make_room(Counter(lanes), self._step)
        moving = zip(lanes, full, kept, drawn, logged, drafts, strict=True)
        for idx, place, kv_L1KPH, (token_N, logprob_N), ids, draft_D in moving:
            lane, start = self.lanes.lanes[idx], len(place.sequence.group.request.tokens)
            (row,) = lane.place([place.sequence])
            lane.cache.enter([row], prompt_lengths=[start], draws_MN=_draws([place.sequence]))
            lane.cache.fill_prompts([row], kv_L1KPH, prompt_of_row=[0])
            lane.cache.go_on(row, token_N, logprob_N, start=start)
            lane.cache.draft([row], draft_D)
            if lane.log is not None and ids is not None:
                lane.log.fill_prompts([row], ids[None], prompt_of_row=[0])
        self._sampler = self._settled = None

    def _full(self) -> list[Place]:
        """Return the places of sequences that have to move before they can go on."""
        narrow = [lane for lane in self.lanes.lanes[:-1] if lane.rows]
        places = (Place(lane, row, s) for lane in narrow for row, s in lane.live())
        return [p for p in places if p.sequence.position(self._step) == p.lane.cache.num_positions - 1]

    def _num_more(self, full: Iterable[Place]) -> int:
        """Return how much more memory sequences take in their next lanes."""
        return sum(self.lanes.width(self._next_lane(p.sequence)) - p.lane.cache.num_positions for p in full)

    def _next_lane(self, sequence: UnderWay) -> int:
        return self.lanes.lane_for(sequence.position(self._step), sequence.ends_at - self._step)

    def _preempt(self, place: Place) -> None:
        self._waiting.appendleft(place.sequence.rest(self._drawn(place)))
        self._vacate([place])
        self._num_preempted += 1

    def _admit_all(self) -> None:
        """Start waiting samples; while others are under way, no more prompt tokens than these are to wait for."""
        num_spent = 0
        while self._waiting and self.lanes.num_live < self._num_rows:
            is_alone = not self.lanes.num_live
            most = self._prefill_tokens if is_alone else self._prefill_tokens - num_spent
            if most <= 0 or (num_run := self._admit(most)) is None:
                return
            num_spent += 0 if is_alone else num_run

    def _admit(self, most: int) -> int | None:
        """Start samples whose prompts have no more tokens to run, or run a part of the first one's.

        Returns: how many prompt tokens were run, or None if the first has to wait for memory or for the next step.
        """
        first = self._waiting[0]
        if self.lanes.width(self._first_lane(first.request)) > self.lanes.num_claimable:
            return None
        if self._prompts.num_to_run(first, version=self._version) > most:
            if most < self._prefill_tokens:
                return None
            self._prompts.run_part(first, most, version=self._version)
            return most
        sequences, wanted, num_run = self._take_waiting(most)
        groups = list(dict.fromkeys(s.group for s in sequences))
        self._prompts.run([g for g in groups if g.prompt is None or g.prompt.logits_GV is None], version=self._version)
        for sequence in sequences:
            sequence.prompt_logprobs = sequence.group.prompt_logprobs
        self.lanes.make_room(wanted, self._step)
        self._sampler = self._settled = None
        stopped: dict[UnderWay, int | str] = {}
        drawn: list[Tensor] = []
        for idx, lane in enumerate(self.lanes):
            if own := [s for s in sequences if s.lane_idx == idx]:
                drawn.append(self._enter(lane, own, stopped))
        # What leaves may take the memory of rows that nobody is in, so all are in before any leaves.
        self._leave(stopped, _joined(drawn))
        for group in groups:
            is_waiting = group.num_entered < group.request.num_samples and group.prompt is not None
            group.prompt = group.prompt.alone() if is_waiting and group.prompt is not None else None
        return num_run

    def _take_waiting(self, most: int) -> tuple[list[UnderWay], Counter[int], int]:
        """Take the next samples for which there are rows, memory and so many prompt tokens, the first in any case."""
        sequences: list[UnderWay] = []
        wanted: Counter[int] = Counter()
        num_run = 0
        num_free, num_claimable = self._num_rows - self.lanes.num_live, self.lanes.num_claimable
        while self._waiting and len(sequences) < num_free:
            group = self._waiting[0]
            lane_idx = self._first_lane(group.request)
            num_claimable -= self.lanes.width(lane_idx)
            if num_claimable < 0:
                break
            if not sequences or sequences[-1].group is not group:
                num_to_run = self._prompts.num_to_run(group, version=self._version)
                if num_run + num_to_run > most:
                    break
                num_run += num_to_run
            wanted[lane_idx] += 1
            # The first token is drawn on entering, so the next step finds one there.
            first_draw = group.request.first_draw
            sequences.append(
                UnderWay(
                    group=group,
                    sample=group.num_entered,
                    entered_as=self._num_entered,
                    began_at=self._step - 1,
                    lane_idx=lane_idx,
                    num_cached=group.num_cached,
                    marks=[(0, self._version)],
                    text_tokens=list(group.request.tokens[-first_draw:]) if first_draw else [],
                )
            )
            self._num_entered += 1
            group.num_entered += 1
            if group.num_entered == group.request.num_samples:
                self._waiting.popleft()
        return sequences, wanted, num_run

    def _first_lane(self, request: GenerationRequest) -> int:
        return self.lanes.lane_for(len(request.tokens), request.max_new_tokens - 1)

    def _enter(self, lane: Lane, sequences: list[UnderWay], stopped: dict[UnderWay, int | str]) -> Tensor:
        """Fill rows with their prompts, draw the first tokens, and return their log-probs [M].

        Args:
            stopped: gains the sequences that these tokens end.
        """
        rows = lane.place(sequences)
        requests = [s.group.request for s in sequences]
        draws_MN = _draws(sequences)
        lane.cache.enter(rows, prompt_lengths=[len(r.tokens) for r in requests], draws_MN=draws_MN)
        logits_MV, hidden_MD = self._fill(lane, rows, [s.group.prompt for s in sequences])
        endings = Endings(requests, sequences)
        endings.note(logits_MV)
        logits_MV = endings.forbid(logits_MV, step=self._step - 1)
        sampler = Sampler([r.sampling for r in requests])
        token_M, logprob_M = sampler.draw(logits_MV, draws_MN[:, 0])
        lane.cache.put_in(rows, token_M, logprob_M)
        if self._drafter is not None and hidden_MD is not None:
            self._drafter.enter(lane, rows, hidden_MD, token_M, sampler)
        for sequence in sequences:
            if sequence.group.request.keeps_prefix:
                self.lanes.prefixes.share(sequence, sequence.group.request.tokens)
        stopped |= endings.found(token_M, step=self._step)
        return logprob_M

    def _fill(self, lane: Lane, rows: list[int], prompts: Sequence[Prompt | None]) -> tuple[Tensor, Tensor | None]:
        """Copy prompts into rows, those that lie together at once.

        Returns: the logits [M, V] after them, and the hidden states [M, D], where tokens are drafted.
        """
        by_tensor: dict[int, list[tuple[int, Prompt]]] = {}
        for place, prompt in enumerate(prompts):
            assert prompt is not None
            by_tensor.setdefault(id(prompt.kv_LGKPH), []).append((place, prompt))
        order: list[int] = []
        logits: list[Tensor] = []
        hidden: list[Tensor] = []
        for some in by_tensor.values():
            prompt_of_row = [prompt.at for _, prompt in some]
            kv_LGKPH, logits_GV = some[0][1].kv_LGKPH, some[0][1].logits_GV
            assert logits_GV is not None
            own = [rows[place] for place, _ in some]
            # What is behind a shorter prompt than the longest may not fit, and is nothing.
            lane.cache.fill_prompts(own, kv_LGKPH[:, :, :, : lane.cache.num_positions], prompt_of_row=prompt_of_row)
            if lane.log is not None and (ids_GPLC := some[0][1].expert_ids_GPLC) is not None:
                lane.log.fill_prompts(own, ids_GPLC[:, : lane.cache.num_positions], prompt_of_row=prompt_of_row)
            order += [place for place, _ in some]
            logits.append(logits_GV.index_select(0, torch.tensor(prompt_of_row)))
            if (hidden_GD := some[0][1].hidden_GD) is not None:
                hidden.append(hidden_GD.index_select(0, torch.tensor(prompt_of_row)))
        return _in_order(logits, order), _in_order(hidden, order) if hidden else None

    def _run(self) -> None:
        step, lanes = self._step, [lane for lane in self.lanes if lane.rows]
        sampler, endings = self._settled or self._settle()
        longest = [lane.num_positions(step) for lane in lanes]
        rooms = [lane.cache.num_positions - n for lane, n in zip(lanes, longest, strict=True)]
        num_steps = min(_STEPS_AT_A_TIME, min(lane.first_end for lane in lanes) - step, *rooms)
        sizes = [len(lane.rows) for lane in lanes]
        parts = [(lane.cache, size) for lane, size in zip(lanes, sizes, strict=True)]
        is_whole = self._network.runs_prompts_alone
        windows = [
            cache.window(size, num_positions=cache.num_positions if is_whole else n - 1 + num_steps)
            for (cache, size), n in zip(parts, longest, strict=True)
        ]
        token_R = _joined([cache.tokens(size) for cache, size in parts])
        sum_R = torch.zeros(len(token_R))
        stopped: dict[UnderWay, int | str] = {}
        for _ in range(num_steps):
            logits_RV = self._network.decode(token_R, windows)
            self._log_experts(lanes, windows, sizes)
            for cache, size in parts:
                cache.advance(size)
            endings.note(logits_RV)
            logits_RV = endings.forbid(logits_RV, step=self._step)
            token_R, logprob_R = sampler.draw(logits_RV, _joined([cache.draws(size) for cache, size in parts]))
            for (cache, _), token, logprob in zip(parts, token_R.split(sizes), logprob_R.split(sizes), strict=True):
                cache.put(token, logprob)
            sum_R += logprob_R
            self._step += 1
            if stopped := endings.found(token_R, step=self._step):
                break
        self._leave(stopped, sum_R)

    def _run_drafts(self, drafter: Drafter) -> None:
        """Run some steps with drafts, in each of which sequences draw as many tokens as they keep."""
        lanes = [lane for lane in self.lanes if lane.rows]
        sampler, endings = self._settled or self._settle()
        logprob_sum = torch.zeros(())
        stopped: dict[UnderWay, int | str] = {}
        for _ in range(_STEPS_AT_A_TIME):
            stopped, more = drafter.run(lanes, sampler, endings, step=self._step)
            logprob_sum += more
            self._step += 1
            places = list(self.lanes.live())
            is_full = any(p.sequence.position(self._step) == p.lane.cache.num_positions - 1 for p in places)
            if stopped or is_full or any(self._step >= p.sequence.ends_at for p in places):
                break
        self._leave(stopped, logprob_sum)

    def _log_experts(self, lanes: Sequence[Lane], windows: Sequence[Window], sizes: Sequence[int]) -> None:
        if self.lanes.has_logs:
            ids = self._network.chosen_experts().split(list(sizes))
            for lane, window, ids_RLC in zip(lanes, windows, ids, strict=True):
                if lane.log is not None:
                    lane.log.put(window.position_R, ids_RLC)

    def _settle(self) -> tuple[Sampler, Endings]:
        """Condense the settings of the rows, after they changed, and how they end, after one did."""
        rows = [s for lane in self.lanes for s in lane.rows]
        any_request = next(s.group.request for s in rows if s is not None)
        requests = [any_request if s is None else s.group.request for s in rows]
        sampler = self._sampler or Sampler([r.sampling for r in requests])
        self._settled = sampler, Endings(requests, rows)
        self._sampler = sampler
        return self._settled

    def _leave(self, stopped: Mapping[UnderWay, int | str], logprob_R: Tensor) -> None:
        """Deliver the sequences that are stopped, each by a token or a string, or have no token left to draw.

        Args:
            logprob_R: summed over the tokens drawn since the last time.
        """
        # What overflows behind the last layer's keys and values leaves no trace in the tokens that follow.
        if not torch.isfinite(logprob_R.sum()):
            return self._abort(not_finite(self._version))
        ended = [
            Place(lane, row, s)
            for lane in self.lanes
            for row, s in lane.live()
            if self._step >= s.ends_at or s in stopped
        ]
        for place in ended:
            sequence = place.sequence
            call = sequence.group.call
            finish = "stop" if sequence in stopped else "length"
            self._num_mixed += len({version for _, version in sequence.marks}) > 1
            call.inbox.append(completion_of(sequence, self._drawn(place), finish, stopped.get(sequence)))
            call.num_outstanding -= 1
        return self._vacate(ended)

    def _drawn(self, place: Place) -> Drawn:
        """Return what a sequence drew since it entered."""
        lane, row, sequence = place
        num_tokens = self._step - sequence.began_at
        start = len(sequence.group.request.tokens)
        tokens, logprobs = lane.cache.response(row, start=start, stop=start + num_tokens)
        versions = sequence.versions(num_tokens)
        named, top = tuple(sequence.named), tuple(sequence.top)
        ids = None if lane.log is None else lane.log.of(row, num_tokens=start + num_tokens - 1)
        return Drawn(
            tokens=tokens,
            logprobs=logprobs,
            versions=versions,
            named=named,
            top=top,
            expert_ids=ids,
            prompt=sequence.prompt_logprobs,
        )

    def _vacate(self, places: Sequence[Place]) -> None:
        """Let go of rows, and keep as prefixes what later requests may begin with."""
        if self._settled is not None:
            self._settled[1].forget({place.sequence for place in places})
        left: list[Held] = []
        for lane, row, sequence in places:
            self.lanes.prefixes.unshare(sequence)
            num_held = sequence.position(self._step)
            is_current = [version for _, version in sequence.marks] == [self._version]
            if sequence.group.request.keeps_prefix and is_current and num_held >= _WORTH_KEEPING:
                drawn, _ = lane.cache.response(row, start=len(sequence.group.request.tokens), stop=num_held)
                tokens = sequence.group.request.tokens + drawn
                ids = None if lane.log is None else lane.log.of(row, num_tokens=num_held).ids_TLC
                left.append(Held(tokens, lane.cache.take(row, num_positions=num_held), ids))
            lane.rows[row] = None
        for lane in self.lanes:
            if rows := [place.row for place in places if place.lane is lane]:
                lane.cache.park(rows)
        for held in left:
            self.lanes.hold(held, self._step)
            self._sampler = self._settled = None

    def _abort(self, fault: SpecError) -> None:
        """Give up all calls, and forget keys and values that are not numbers."""
        for call in [*(p.sequence.group.call for p in self.lanes.live()), *(g.call for g in self._waiting)]:
            call.fault = fault
        self._waiting.clear()
        self.lanes.clear()


def _draws(sequences: Sequence[UnderWay]) -> Tensor:
    """Return [M, N] the draws of the tokens that sequences draw from where they entered."""
    requests = [s.group.request for s in sequences]
    return uniform_draws(
        [s.group.stream for s in sequences],
        [r.first_sample + s.sample for r, s in zip(requests, sequences, strict=True)],
        num_draws=max(r.max_new_tokens for r in requests),
        first_draws=[r.first_draw for r in requests],
    )


def _in_order(parts: Sequence[Tensor], order: Sequence[int]) -> Tensor:
    """Return the rows of several tensors by the places that they are for."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))[torch.tensor(order).argsort()]


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
