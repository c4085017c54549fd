"""Rollouts: prompts go in, scored groups come out, judging beside generation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from compiler.ir.openness import OFF
from compiler.ir.rollout import Sampling
from runtime.data.tokenizers import TextTokenizer
from runtime.protocols import Completion, DrawKey, GenerationRequest, Reward, RolloutEngine
from stdlib.samples import Group, Prompt, Sample, SampleId, Segment

GREEDY = Sampling(temperature=0.0, top_p=1.0, top_k=OFF)


class RolloutWorker:
    """Samples groups from an engine and has them judged.

    Args:
        reward: None where nothing is judged.
        stop_token_ids: tokens that end a response, the tokenizer's end of sequence among them.
        stop_strings: texts that end one.
    """

    def __init__(
        self,
        engine: RolloutEngine,
        tokenizer: TextTokenizer,
        reward: Reward | None,
        *,
        stop_token_ids: frozenset[int],
        stop_strings: tuple[str, ...] = (),
    ) -> None:
        self.engine = engine
        self.tokenizer = tokenizer
        self.reward = reward
        self.stop_token_ids = stop_token_ids
        self.stop_strings = stop_strings

    async def groups(
        self,
        prompts: Sequence[Prompt],
        *,
        first_key: DrawKey,
        num_samples: int,
        max_new_tokens: int,
        sampling: Sampling,
    ) -> list[Group]:
        """Return one group for each prompt, scored where there is a reward, in the order of the prompts.

        Args:
            first_key: the draws of prompt i come from it with group first_key.group + i.
        """
        requests = [
            GenerationRequest(
                key=DrawKey(seed=first_key.seed, stage=first_key.stage, step=first_key.step, group=first_key.group + i),
                tokens=prompt.tokens,
                num_samples=num_samples,
                max_new_tokens=max_new_tokens,
                stop_token_ids=self.stop_token_ids,
                stop_strings=self.stop_strings,
                decode=self.tokenizer.decode,
                sampling=sampling,
                keeps_prefix=False,
            )
            for i, prompt in enumerate(prompts)
        ]
        finished = self._finished_groups(prompts, requests)
        if self.reward is not None:
            return await self.reward.score_all(finished)
        return sorted([group async for group in finished], key=lambda group: group.samples[0].id.group)

    async def judged(self, group: Group) -> Group | None:
        """Return a finished group, with its rewards where there are any, or None if it is left out because a judgement
        failed.
        """

        async def arriving() -> AsyncIterator[Group]:
            yield group

        if self.reward is None:
            return group
        found = await self.reward.score_all(arriving())
        return found[0] if found else None

    async def _finished_groups(
        self, prompts: Sequence[Prompt], requests: Sequence[GenerationRequest]
    ) -> AsyncIterator[Group]:
        waiting: dict[int, list[Sample]] = {i: [] for i in range(len(requests))}
        async for completion in self.engine.generate(requests):
            request, prompt = requests[completion.request], prompts[completion.request]
            samples = waiting[completion.request]
            samples.append(self._sample(completion, request, prompt))
            if len(samples) == request.num_samples:
                samples.sort(key=lambda s: s.id.sample)
                yield Group(prompt=prompt, samples=tuple(samples))

    def _sample(self, completion: Completion, request: GenerationRequest, prompt: Prompt) -> Sample:
        key = request.key
        return Sample(
            id=SampleId(stage=key.stage, step=key.step, group=key.group, sample=completion.sample),
            prompt=prompt,
            segments=(
                Segment(tokens=prompt.tokens, is_sampled=False),
                Segment(
                    tokens=completion.tokens,
                    is_sampled=True,
                    logprobs=completion.logprobs,
                    versions=completion.versions,
                ),
            ),
            text=self.tokenizer.decode(completion.tokens),
            finish=completion.finish,
            expert_ids=completion.expert_ids,
        )
