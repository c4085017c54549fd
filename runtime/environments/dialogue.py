"""One episode from the side of the policy: tokens go in, tokens come out, and both are kept as they are.

What was sampled is never tokenised again.  What an environment says is appended as tokens that nobody sampled: messages
as the chat template writes them, texts as they are.  An episode ends with an `EpisodeOverError` where it meets a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NoReturn

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.rollout import Sampling
from runtime.data.tokenizers import TextTokenizer
from runtime.data.turns import Tools
from runtime.environments.faults import Ending, EpisodeOverError, Tally
from runtime.environments.markup import between_turns
from runtime.environments.observations import fault_in, fitted, written_out
from runtime.environments.observed_tokens import framed_tokens, message_tokens
from runtime.environments.turns import Turns
from runtime.protocols import Completion, GenerationRequest
from runtime.routed_tokens import continued
from stdlib.episodes import Turn
from stdlib.samples import ExpertIds, Message, Prompt, Segment


@dataclass(frozen=True, kw_only=True, slots=True)
class Terms:
    """What the episodes of one batch have in common, and what each of them may take.

    `tools` are those that prompts were rendered with.  `stop_strings` end a turn; the token with which one is complete
    is the last of it.  `decode` makes text of tokens, the special ones among them, to find these.
    """

    tokenizer: TextTokenizer
    tools: Tools
    is_evaluation: bool
    max_turns: int
    max_context_tokens: int
    max_observation_tokens: int
    stop_strings: tuple[str, ...]
    decode: Callable[[Sequence[int]], str]


class Dialogue:
    """What a custom generate function is given: it asks for turns, and appends what the policy is to see.

    Args:
        request: the first turn of this sample; `first_sample` names it.

    `clock` runs while the environment does; it stands still while the policy speaks.
    """

    def __init__(self, prompt: Prompt, request: GenerationRequest, turns: Turns, terms: Terms) -> None:
        self.prompt = prompt
        self.is_evaluation = terms.is_evaluation
        self.segments: list[Segment] = [Segment(tokens=prompt.tokens, is_sampled=False)]
        self.said: list[Message] = []
        self.texts: list[str] = []
        self.tally = Tally()
        self.num_observed_tokens = 0
        self.expert_ids: ExpertIds | None = None
        self.clock = asyncio.timeout(None)
        self._request = request
        self._turns = turns
        self._tokenizer = terms.tokenizer
        self._terms = terms
        self._tokens = list(prompt.tokens)
        self._num_drawn = 0
        self._ended_with = ""
        self._over: EpisodeOverError | None = None

    @property
    def sampling(self) -> Sampling:
        """How tokens are drawn."""
        return self._request.sampling

    @property
    def sample(self) -> int:
        """The number of this sample among those of its prompt."""
        return self._request.first_sample

    @property
    def num_turns(self) -> int:
        """Turns that the policy has had."""
        return len(self.texts)

    async def turn(self, *, sampling: Sampling | None = None) -> Turn:
        """Let the policy speak, and return what it said.

        Args:
            sampling: how, where it is not as everywhere.

        Raises: EpisodeOverError if it may not speak any more; SpecError if the engine fails.
        """
        room = self._terms.max_context_tokens - len(self._tokens)
        if self.num_turns == self._terms.max_turns:
            self.end("max_turns")
        if room < 1:
            self.end("max_tokens")
        if self._over is not None:
            raise self._over
        request = replace(
            self._request,
            tokens=tuple(self._tokens),
            max_new_tokens=min(self._request.max_new_tokens, room),
            first_draw=self._num_drawn,
            sampling=sampling or self._request.sampling,
            stop_strings=(*self._request.stop_strings, *self._terms.stop_strings),
            decode=self._terms.decode,
            keeps_prefix=True,
        )
        when = self.clock.when()
        loop, paused_at = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        if when is not None:
            self.clock.reschedule(None)
        completion = await self._turns.ask(request)
        if when is not None:
            self.clock.reschedule(when + loop.time() - paused_at)
        return self._heard(completion, is_full=room <= self._request.max_new_tokens)

    def observe(self, *, messages: Sequence[Message] = (), text: str = "", frame: tuple[str, str] = ("", "")) -> None:
        """Append what the policy is to see before its next turn: messages, or a text as it is.

        Args:
            frame: what stands before and behind the text, and is never cut; control tokens may be spelled there alone.

        Raises: EpisodeOverError if there is no room for it and one token more, or it has no tokens; SpecError RLC0740.
        """
        if self._over is not None:
            raise self._over
        fault = fault_in(messages, text, frame)
        if fault:
            self.end("failure", fault)
        try:
            tokens = self._written(messages, text, frame)
        except SpecError as refusal:
            if refusal.diagnostics[0].code != "RLC0606":
                raise
            self.end("failure", f"what the environment said has no tokens: {refusal.diagnostics[0].message}")
        if len(self._tokens) + len(tokens) + 1 > self._terms.max_context_tokens:
            self.end("max_tokens")
        self._tokens += tokens
        self.num_observed_tokens += len(tokens)
        if tokens:
            self.segments.append(Segment(tokens=tuple(tokens), is_sampled=False))

    def go_on(self) -> None:
        """Raise EpisodeOverError if the episode has ended."""
        if self._over is not None:
            raise self._over

    def end(self, ended_by: Ending, failure: str = "") -> NoReturn:
        """End the episode.  Raises: EpisodeOverError, now and whenever it is to go on."""
        over = EpisodeOverError(ended_by, failure)
        self._over = self._over or over
        raise self._over

    def _heard(self, completion: Completion, *, is_full: bool) -> Turn:
        tokens = completion.tokens
        self._tokens += tokens
        self._num_drawn += len(tokens)
        routed = continued(self.expert_ids, completion.expert_ids)
        # No pass went over the last token.
        self.expert_ids = None if routed is None else ExpertIds(routed.ids_TLC[: len(self._tokens) - 1])
        segment = Segment(tokens=tokens, is_sampled=True, logprobs=completion.logprobs, versions=completion.versions)
        self.segments.append(segment)
        is_ended = bool(tokens) and tokens[-1] in self._request.stop_token_ids
        spoken = tokens[:-1] if is_ended else tokens
        self._ended_with = self._tokenizer.decode(tokens[-1:], keeps_special=True) if is_ended else ""
        text = self._tokenizer.decode(tokens)
        self.texts.append(text)
        self.said.append({"role": "assistant", "content": text})
        if completion.finish != "stop":
            self._over = EpisodeOverError("max_tokens" if is_full else "cut")
        return Turn(
            index=self.num_turns - 1,
            text=text,
            spelled=self._tokenizer.decode(spoken, keeps_special=True),
            finish="stop" if completion.finish == "stop" else "length",
            is_last=self.num_turns == self._terms.max_turns,
        )

    def _written(self, messages: Sequence[Message], text: str, frame: tuple[str, str]) -> tuple[int, ...]:
        left = self._terms.max_observation_tokens
        shown: list[Message] = []
        for message in messages:
            content, left = self._fitted(str(message.get("content", "")), left)
            named: Message = {"name": written_out(str(message["name"]))} if "name" in message else {}
            shown.append({**message, **named, "content": content})
        tokens: tuple[int, ...] = ()
        if shown:
            found = message_tokens(self._tokenizer, shown, self._between)
            if found is None:
                self.end("failure", "what the environment said spells control tokens, and where is not to be told")
            tokens = found
        if text:
            text, left = self._fitted(text, left)
            tokens += framed_tokens(self._tokenizer, text, frame)
            shown.append({"role": "environment", "content": f"{frame[0]}{text}{frame[1]}"})
        self.said += shown
        return tokens

    def _between(self, observed: Sequence[Message]) -> str:
        """What the template writes between two turns for some answers."""
        messages, tools = self.prompt.messages, self._terms.tools
        return between_turns(self._tokenizer, messages, observed, tools, ended_with=self._ended_with)

    def _fitted(self, text: str, left: int) -> tuple[str, int]:
        found = fitted(text, self._tokenizer, most=left)
        if found.was_cut:
            self.tally.add("truncated_observations", f"{len(text):,} characters are more than {left:,} tokens")
        return found.text, max(0, left - found.num_tokens)
