"""Episodes: samples of several turns, each with the environment's answers between them.

Episodes are independent of each other.  One that fails ends, and is counted; the run goes on unless the plan says that
it ends.  The engine generates while environments and tools are waited for.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

from compiler.diagnostics.diagnostic import SpecError
from runtime.data.tokenizers import TextTokenizer
from runtime.environments.context import EpisodeContext
from runtime.environments.dialogue import Dialogue, Terms
from runtime.environments.faults import (
    COUNTS,
    ENDINGS,
    FAILED,
    LATE,
    Ending,
    EpisodeOverError,
    ends_run,
)
from runtime.environments.foreign import called
from runtime.environments.opened import OpenEnvironment
from runtime.environments.turns import Turns
from runtime.own_coroutine import HeldLoopError
from runtime.protocols import GenerationRequest, RolloutEngine
from runtime.rewards.border import RewardCallError
from stdlib.episodes import Episode, EpisodeFacts, Observation
from stdlib.samples import Group, Prompt, Sample, SampleId, Segment

_CUT: tuple[Ending, ...] = ("max_turns", "max_tokens", "cut")
_REWARD_BITS: Final = 1_000
_FAILED: tuple[Ending, ...] = ("failure", "timeout", "tool")


class Episodes:
    """Samples groups of episodes, and counts what happens in them.

    `last` holds the last failure of each kind in words, by the name of its count.
    """

    def __init__(
        self,
        environment: OpenEnvironment,
        engine: RolloutEngine,
        tokenizer: TextTokenizer,
        *,
        max_context_tokens: int,
        is_evaluation: bool,
    ) -> None:
        settings = environment.settings
        self._environment = environment
        self._engine = engine
        self._terms = Terms(
            tokenizer=tokenizer,
            tools=environment.tools,
            is_evaluation=is_evaluation,
            max_turns=settings.max_turns,
            max_context_tokens=max_context_tokens,
            max_observation_tokens=settings.max_observation_tokens,
            stop_strings=environment.stop_strings,
            decode=partial(tokenizer.decode, keeps_special=True),
        )
        self._facts: list[EpisodeFacts] = []
        self.last: dict[str, str] = {}

    async def finished(self, prompts: Sequence[Prompt], requests: Sequence[GenerationRequest]) -> AsyncIterator[Group]:
        """Yield each group when its last episode has ended.

        Args:
            requests: the first turn of each prompt's samples.

        Raises: SpecError if the engine fails, if the chat template cannot add turns, or RLC0741 to RLC0744 for a
        failure that ends the run.
        """
        turns = Turns(self._engine)
        server = asyncio.create_task(turns.serve())
        groups = [
            asyncio.create_task(self._group(prompt, request, turns))
            for prompt, request in zip(prompts, requests, strict=True)
        ]
        try:
            left = set(groups)
            while left:
                done, _ = await asyncio.wait({server, *left}, return_when=asyncio.FIRST_COMPLETED)
                if server in done:
                    server.result()
                for group in [one for one in groups if one in done]:
                    left.discard(group)
                    yield group.result()
        finally:
            for task in (server, *groups):
                task.cancel()
            await asyncio.gather(server, *groups, return_exceptions=True)
            turns.abort()

    def take_metrics(self, groups: Sequence[Group] | None = None) -> dict[str, float]:
        """Return what was counted since the last call.

        Args:
            groups: those that are trained on; all, unless given.  `episodes`, turns and observations are theirs; what
                failed or came to a limit is counted of those that were left out, too.
        """
        facts = list(self._facts)
        self._facts.clear()
        counts: Counter[str] = Counter()
        for one in facts:
            counts.update(one.counts)
            if one.ended_by in ENDINGS:
                counts[ENDINGS[one.ended_by]] += 1
        samples = [sample for group in groups or () for sample in group.samples]
        kept = facts if groups is None else [sample.episode for sample in samples if sample.episode is not None]
        number = max(len(kept), 1)
        return {
            "rollout/episodes": len(kept),
            "rollout/left_out_episodes": len(facts) - len(kept),
            "rollout/turns_mean": sum(one.num_turns for one in kept) / number,
            "rollout/turns_max": max((one.num_turns for one in kept), default=0),
            "rollout/observation_tokens_mean": sum(one.num_observed_tokens for one in kept) / number,
            **{f"rollout/{name}": counts[name] for name in (*COUNTS, *ENDINGS.values())},
        }

    async def _group(self, prompt: Prompt, request: GenerationRequest, turns: Turns) -> Group:
        numbers = range(request.first_sample, request.first_sample + request.num_samples)
        alone = [replace(request, num_samples=1, first_sample=number) for number in numbers]
        try:
            async with asyncio.TaskGroup() as running:
                tasks = [running.create_task(self._sample(prompt, one, turns)) for one in alone]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures.exceptions[0].__cause__
        return Group(prompt=prompt, samples=tuple(task.result() for task in tasks))

    async def _sample(self, prompt: Prompt, request: GenerationRequest, turns: Turns) -> Sample:
        dialogue = Dialogue(prompt, request, turns, self._terms)
        rewards: list[float] = []
        over = await self._lived(dialogue, rewards)
        facts = self._told(dialogue, over, rewards)
        key = request.key
        settings = self._environment.settings
        texts = dialogue.texts if settings.judged == "all_turns" else dialogue.texts[-1:]
        return Sample(
            id=SampleId(stage=key.stage, step=key.step, group=key.group, sample=request.first_sample),
            prompt=prompt,
            segments=self._trained(dialogue.segments, is_failed=over.ended_by in _FAILED),
            text="".join(texts),
            finish="length" if over.ended_by in _CUT else "stop",
            expert_ids=dialogue.expert_ids,
            episode=facts,
        )

    async def _lived(self, dialogue: Dialogue, rewards: list[float]) -> EpisodeOverError:
        """Take an episode to its end, and return how it ended.  Raises: SpecError if that ends the run."""
        settings = self._environment.settings
        try:
            async with asyncio.timeout(settings.episode_timeout_s) as clock:
                dialogue.clock = clock
                await (self._driven(dialogue, rewards) if settings.drives else self._stepped(dialogue, rewards))
        except EpisodeOverError as over:
            return self._judged(over, dialogue)
        except HeldLoopError as held:
            return self._judged(EpisodeOverError("timeout", f"{held}, on {dialogue.prompt.source}"), dialogue)
        except TimeoutError:
            return self._judged(
                EpisodeOverError(
                    "timeout",
                    f"{settings.name} took longer than {settings.episode_timeout_s:g} s over one episode, "
                    f"on {dialogue.prompt.source}",
                ),
                dialogue,
            )
        except RewardCallError as fault:
            cause = fault.__cause__
            if isinstance(cause, SpecError):
                raise cause from fault
            if isinstance(cause, EpisodeOverError):
                return self._judged(cause, dialogue)
            at = f" at line {fault.line}" if fault.line else ""
            words = f"{settings.name} raised {fault.message}{at}, on {dialogue.prompt.source}"
            return self._judged(EpisodeOverError("failure", words), dialogue)
        return EpisodeOverError("")

    def _judged(self, over: EpisodeOverError, dialogue: Dialogue) -> EpisodeOverError:
        """Count how an episode ended.  Raises: SpecError if the plan says that this ends the run."""
        code, name = {"failure": (FAILED, "episode_failures"), "timeout": (LATE, "episode_timeouts")}.get(
            over.ended_by, ("", "")
        )
        if not code:
            return over
        if self._environment.settings.on_episode_failure == "stop":
            raise ends_run(code, over.failure, path="environment.on_episode_failure")
        dialogue.tally.add(name, over.failure)
        return over

    async def _stepped(self, dialogue: Dialogue, rewards: list[float]) -> None:
        """The loop of an environment that answers turn by turn."""
        function, is_own = self._environment.function, self._environment.is_own
        context, limit_s = EpisodeContext(self._environment, dialogue), self._environment.settings.episode_timeout_s
        begin = function.call
        episode: Episode = await called(begin, function.file, limit_s, context) if is_own else begin(context)
        while True:
            turn = await dialogue.turn()
            if turn.finish != "stop":
                dialogue.go_on()
            step = episode.step
            answer: Any = await called(step, function.file, limit_s, turn) if is_own else await _answer(episode, turn)
            if not isinstance(answer, Observation):
                dialogue.end("failure", f"{self._environment.settings.name} returned {answer!r:.80}, no Observation")
            if answer.reward is not None:
                rewards.append(self._finite(answer.reward, dialogue))
            if answer.is_done:
                return
            if turn.is_last:
                dialogue.end("max_turns")
            dialogue.observe(messages=answer.messages, text=answer.text, frame=answer.frame)

    async def _driven(self, dialogue: Dialogue, rewards: list[float]) -> None:
        """A generate function of the experiment's own; what it returns is what the episode earned."""
        function = self._environment.function
        limit_s = self._environment.settings.episode_timeout_s
        returned = await called(function.call, function.file, limit_s, dialogue)
        if returned is not None:
            rewards.append(self._finite(returned, dialogue))

    def _finite(self, reward: object, dialogue: Dialogue) -> float:
        # An integer of hundreds of digits is finite, and no float.
        is_large = isinstance(reward, int) and reward.bit_length() > _REWARD_BITS
        if is_large or not isinstance(reward, (int, float)) or not math.isfinite(reward):
            shown = "an integer of hundreds of digits" if is_large else f"{reward!r:.80}"
            dialogue.end("failure", f"{self._environment.settings.name} gave {shown} as a reward")
        return float(reward)

    def _told(self, dialogue: Dialogue, over: EpisodeOverError, rewards: Sequence[float]) -> EpisodeFacts:
        self.last |= dialogue.tally.last
        facts = EpisodeFacts(
            num_turns=dialogue.num_turns,
            said=tuple(dialogue.said),
            reward=math.fsum(rewards) if rewards else None,
            ended_by=over.ended_by,
            failure=over.failure,
            num_observed_tokens=dialogue.num_observed_tokens,
            counts=dict(dialogue.tally.counts),
        )
        self._facts.append(facts)
        return facts

    def _trained(self, segments: Sequence[Segment], *, is_failed: bool) -> tuple[Segment, ...]:
        """The segments, those of the policy marked that do not count in the loss."""
        settings = self._environment.settings
        last = max((place for place, segment in enumerate(segments) if segment.is_sampled), default=-1)

        def counts(place: int) -> bool:
            if is_failed and settings.failed_episodes == "mask":
                return False
            return settings.train_turns == "all" or place == last

        return tuple(
            segment if not segment.is_sampled or counts(place) else replace(segment, is_trained=False)
            for place, segment in enumerate(segments)
        )


async def _answer(episode: Any, turn: object) -> object:
    """What an environment of the standard library answers; all of them are asynchronous."""
    return await episode.step(turn)


def last_words(episodes: Episodes | None, metrics: Mapping[str, float]) -> list[tuple[str, str]]:
    """Return a code and a sentence for each kind of failure that a step counted."""
    if episodes is None:
        return []
    found: list[tuple[str, str]] = []
    for name, code in COUNTS.items():
        count = metrics.get(f"rollout/{name}", 0)
        if code and count:
            found.append(
                (code, f"{count:,.0f} {name.replace('_', ' ')}, the last of them so: {episodes.last.get(name, '')}")
            )
    return found
