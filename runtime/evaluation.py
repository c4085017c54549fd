"""Evaluation: what the policy gets right on held-out prompts, sampled and greedy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Never

from compiler.ir.data import Eval
from compiler.ir.rollout import Sampling
from runtime.protocols import DrawKey
from runtime.rollouts import GREEDY, RolloutWorker
from runtime.train_batches import raw_reward_of
from stdlib.samples import Group, Prompt


class Evaluator:
    """Measures the policy on the sets of one stage.

    Args:
        prompts: of each set, by its name.
        seed: of the stage's evaluation stream; every evaluation draws the same noise, so that a change of the metric
            is a change of the policy.
    """

    def __init__(
        self,
        settings: Eval[Never],
        prompts: Mapping[str, Sequence[Prompt]],
        worker: RolloutWorker,
        *,
        seed: int,
        max_new_tokens: int,
    ) -> None:
        self._settings = settings
        self._prompts = prompts
        self._worker = worker
        self._seed = seed
        self._max_new_tokens = max_new_tokens

    async def measure(self, *, stage: int) -> dict[str, float]:
        """Return `eval/<set>/accuracy` (sampled) and, where asked, `eval/<set>/greedy`, with sizes beside them."""
        settings = self._settings
        sampled = Sampling(
            temperature=settings.sampling.temperature, top_p=settings.sampling.top_p, top_k=settings.sampling.top_k
        )
        found: dict[str, float] = {}
        for index, (name, prompts) in enumerate(self._prompts.items()):
            key = DrawKey(seed=self._seed, stage=stage, step=index, group=0)
            groups = await self._worker.groups(
                prompts,
                first_key=key,
                num_samples=settings.samples_per_prompt,
                max_new_tokens=self._max_new_tokens,
                sampling=sampled,
            )
            found[f"eval/{name}/accuracy"] = self._accuracy(groups, len(prompts) * settings.samples_per_prompt)
            found[f"eval/{name}/response_tokens_mean"] = _mean_length(groups)
            found[f"eval/{name}/num_prompts"] = len(prompts)
            if settings.greedy:
                groups = await self._worker.groups(
                    prompts, first_key=key, num_samples=1, max_new_tokens=self._max_new_tokens, sampling=GREEDY
                )
                found[f"eval/{name}/greedy"] = self._accuracy(groups, len(prompts))
        return found

    def _accuracy(self, groups: Sequence[Group], num_samples: int) -> float:
        """The share of right responses, by the reward before shaping; a group that was left out has none."""
        rewards = [raw_reward_of(sample) for group in groups for sample in group.samples]
        return sum(reward >= self._settings.correct_at for reward in rewards) / num_samples


def _mean_length(groups: Sequence[Group]) -> float:
    lengths = [s.num_response_tokens for group in groups for s in group.samples]
    return sum(lengths) / len(lengths)
