"""What a person should know of a stage that goes on: each with its code, its place and its numbers.

What happens in every step is said once, at the first; metrics.jsonl counts it in each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Never

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.ir.algorithm import GroupRelativeAlgo, ReturnsAlgo
from compiler.ir.evaluated import sampled_sets
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from runtime.evaluation import unmeasured
from runtime.rewards.runner import RewardRunner
from runtime.telemetry.view import View

EMPTY, ALL_EQUAL, LATE = "RLC0696", "RLC0697", "RLC0613"


class StageWarnings:
    """Shows the warnings of one stage."""

    def __init__(self, stage: Stage[Never], view: View) -> None:
        self._stage = stage
        self._view = view
        self._told: set[str] = set()
        self._num_late, self._num_failed = 0, 0

    def of_step(self, step: int, metrics: Mapping[str, float]) -> None:
        """Say that responses are empty, or that the rewards within every group are equal, where a step has it first."""
        stage, empty = self._stage, metrics.get("rollout/empty_responses", 0)
        if empty and not isinstance(stage.reward, Off) and stage.reward.empty_responses == "judge":
            self._once(EMPTY, step, f"{empty:,.0f} response(s) are empty, and were judged as any other")
        if metrics.get("rollout/zero_std_groups_frac") == 1.0 and self._compares_within_groups():
            self._once(
                ALL_EQUAL,
                step,
                "the rewards within each group are equal, so no advantage differs from 0; "
                'rollout.filter.name = "nonzero_std" samples other groups instead',
            )

    def of_judgements(self, step: int, rewards: Sequence[RewardRunner]) -> None:
        """Say how many responses got no judgement since this was asked last."""
        late = sum(reward.num_unjudged for reward in rewards)
        if late > self._num_late:
            count, self._num_late = late - self._num_late, late
            told = f"{count} response(s) could not be judged, and got the score that the reward has for these"
            self._say(LATE, step, told)
        failed = sum(reward.num_failed for reward in rewards)
        if failed > self._num_failed:
            count, self._num_failed = failed - self._num_failed, failed
            last = next(reward for reward in reversed(rewards) if reward.num_failed)
            told = f"{count} judgement(s) failed, the last of them so: {last.last_failure}"
            self._say(last.last_code, step, told)

    def of_diagnostic(self, step: int, found: Diagnostic) -> None:
        """Say what a step has found out, with the first of its ways out."""
        advice = f"; {found.help[0].text}" if found.help else ""
        self._say(found.code, step, f"{found.message}{advice}")

    def of_evaluation(self, step: int, measured: Mapping[str, float]) -> None:
        """Say of which sets nothing could be measured."""
        settings = self._stage.eval
        for told in unmeasured(sampled_sets(settings), measured):
            code, _, words = told.partition(": ")
            self._say(code, step, words)

    def of_missed_bound(self, step: int, measured: Mapping[str, float]) -> None:
        """Say that a stage ended without what it was to be trained until, if that was asked of it."""
        until = self._stage.until
        if isinstance(until, Off):
            return
        value = f"{measured[until.metric]:.3f}" if until.metric in measured else "not measured"
        self._view.warning(f"stage {self._stage.name} ended after {step} steps, its bound; {until.metric} was {value}")

    def _compares_within_groups(self) -> bool:
        algo = self._stage.algorithm.algo
        if isinstance(algo, GroupRelativeAlgo) and not isinstance(algo.advantages, Off):
            return False
        return isinstance(algo, GroupRelativeAlgo) or (isinstance(algo, ReturnsAlgo) and algo.group_baseline)

    def _once(self, code: str, step: int, words: str) -> None:
        if code not in self._told:
            self._told.add(code)
            self._say(code, step, words)

    def _say(self, code: str, step: int, words: str) -> None:
        self._view.warning(f"{code}: stage {self._stage.name}, step {step}: {words}")
