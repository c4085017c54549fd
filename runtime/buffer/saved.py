"""A buffer as a checkpoint holds it: numbers of tokens as tensors, everything else as JSON.

Prompts are saved whole, so that a group does not depend on how its row was fetched.  Scores are JSON numbers, which
Python writes so that the same double is read again; log-probs are doubles in a tensor.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Never

import torch
from torch import Tensor

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.experiment import Stage
from compiler.ir.openness import Off
from compiler.ir.rollout import Rollout
from runtime.buffer.rollout_buffer import Kept, RolloutBuffer
from stdlib.episodes import EpisodeFacts
from stdlib.samples import ExpertIds, Group, JsonValue, Prompt, Sample, SampleId, Segment

STATE, PREFIX = "buffer", "buffer."
_TOKENS, _LOGPROBS, _VERSIONS = f"{PREFIX}tokens", f"{PREFIX}logprobs", f"{PREFIX}versions"
_EXPERT_IDS = f"{PREFIX}expert_ids"
_POOLS = ("unfinished", "finished", "used")


@dataclass(frozen=True, kw_only=True, slots=True)
class SavedBuffer:
    """`state` goes to state.json, `tensors` beside the trainer's; their names begin with `buffer.`."""

    state: JsonValue
    tensors: Mapping[str, Tensor]


def is_kept(stage: Stage[Never]) -> bool:
    """Whether groups of a stage wait for a later step: in [rollout.buffer], or since sampling does not wait."""
    rollout = stage.rollout
    return isinstance(rollout, Rollout) and (not isinstance(rollout.buffer, Off) or stage.schedule.lag > 0)


def saved(buffer: RolloutBuffer) -> SavedBuffer:
    """Return what `restored` needs."""
    writer = _Writer()
    state: dict[str, JsonValue] = {name: [writer.kept(kept) for kept in getattr(buffer, name)] for name in _POOLS}
    tensors = {
        _TOKENS: torch.tensor(writer.tokens, dtype=torch.int64),
        _LOGPROBS: torch.tensor(writer.logprobs, dtype=torch.float64),
        _VERSIONS: torch.tensor(writer.versions, dtype=torch.int64),
    }
    if writer.expert_ids:
        tensors[_EXPERT_IDS] = torch.cat(writer.expert_ids)
    return SavedBuffer(state=state, tensors=tensors)


def restored(state: JsonValue, tensors: Mapping[str, Tensor]) -> RolloutBuffer:
    """Return the buffer that was saved.  Raises: SpecError RLC0665 if another version saved it, or none did."""
    try:
        reader = _Reader(tensors)
        pools: Any = state
        found = {name: [reader.kept(kept) for kept in pools[name]] for name in _POOLS}
        reader.check_end()
        return RolloutBuffer(**found)
    except (KeyError, TypeError, ValueError, IndexError) as fault:
        what = f"no {fault}" if isinstance(fault, KeyError) else str(fault)
        raise SpecError(
            Diagnostic(
                "RLC0665",
                f"the checkpoint's buffer of groups cannot be read: {what}",
                help=(Help("continue with the version of rlc that wrote it, or start in another run directory"),),
                paths=("rollout.buffer",),
            )
        ) from fault


class _Writer:
    """Collects the tokens of all groups end to end."""

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.versions: list[int] = []
        self.expert_ids: list[Tensor] = []

    def kept(self, kept: Kept) -> JsonValue:
        prompt, samples = kept.group.prompt, kept.group.samples
        return {
            "num_uses": kept.num_uses,
            "prompt": {
                **{f.name: getattr(prompt, f.name) for f in fields(Prompt)},
                "tokens": list(prompt.tokens),
                "messages": [dict(message) for message in prompt.messages],
            },
            "samples": [self._sample(sample) for sample in samples],
        }

    def _sample(self, sample: Sample) -> JsonValue:
        experts = None if sample.expert_ids is None else sample.expert_ids.ids_TLC
        if experts is not None:
            self.expert_ids.append(experts)
        return {
            "id": [sample.id.stage, sample.id.step, sample.id.group, sample.id.sample],
            "segments": [self._segment(segment) for segment in sample.segments],
            "text": sample.text,
            "finish": sample.finish,
            "reward": sample.reward,
            "raw_reward": sample.raw_reward,
            "reward_terms": dict(sample.reward_terms),
            "has_failed": sample.has_failed,
            "num_routed_tokens": None if experts is None else experts.shape[0],
            "episode": None if sample.episode is None else _episode(sample.episode),
        }

    def _segment(self, segment: Segment) -> JsonValue:
        self.tokens += segment.tokens
        self.logprobs += segment.logprobs
        self.versions += segment.versions
        return {
            "num_tokens": len(segment.tokens),
            "is_sampled": segment.is_sampled,
            "is_trained": segment.is_trained,
        }


class _Reader:
    """Hands the tokens out again."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self._tokens: list[int] = tensors[_TOKENS].tolist()
        self._logprobs: list[float] = tensors[_LOGPROBS].tolist()
        self._versions: list[int] = tensors[_VERSIONS].tolist()
        self._expert_ids = tensors.get(_EXPERT_IDS, torch.empty(0))
        self._at = 0
        self._sampled_at = 0
        self._routed_at = 0

    def kept(self, state: Any) -> Kept:
        values = dict(state["prompt"])
        values["tokens"] = tuple(values["tokens"])
        values["messages"] = tuple(values["messages"])
        prompt = Prompt(**values)
        samples = tuple(self._sample(sample, prompt) for sample in state["samples"])
        return Kept(group=Group(prompt=prompt, samples=samples), num_uses=state["num_uses"])

    def check_end(self) -> None:
        if (self._at, self._sampled_at) != (len(self._tokens), len(self._logprobs)):
            raise ValueError(f"{len(self._tokens)} tokens are saved, and its groups have {self._at}")
        if self._routed_at != self._expert_ids.shape[0]:
            raise ValueError(f"experts of {self._expert_ids.shape[0]} tokens are saved, and not of {self._routed_at}")

    def _sample(self, state: Any, prompt: Prompt) -> Sample:
        stage, step, group, sample = state["id"]
        return Sample(
            id=SampleId(stage=stage, step=step, group=group, sample=sample),
            prompt=prompt,
            segments=tuple(self._segment(segment) for segment in state["segments"]),
            text=state["text"],
            finish=state["finish"],
            reward=state["reward"],
            raw_reward=state["raw_reward"],
            reward_terms=state["reward_terms"],
            has_failed=state["has_failed"],
            expert_ids=self._experts(state["num_routed_tokens"]),
            episode=None if state["episode"] is None else _told(state["episode"]),
        )

    def _experts(self, count: Any) -> ExpertIds | None:
        if count is None:
            return None
        first, self._routed_at = self._routed_at, self._routed_at + count
        return ExpertIds(self._expert_ids[first : self._routed_at].clone())

    def _segment(self, state: Any) -> Segment:
        count, is_sampled = state["num_tokens"], state["is_sampled"]
        tokens = tuple(self._tokens[self._at : self._at + count])
        self._at += count
        if not is_sampled:
            return Segment(tokens=tokens, is_sampled=False)
        first, self._sampled_at = self._sampled_at, self._sampled_at + count
        logprobs = tuple(self._logprobs[first : self._sampled_at])
        versions = tuple(self._versions[first : self._sampled_at])
        return Segment(
            tokens=tokens, is_sampled=True, logprobs=logprobs, versions=versions, is_trained=state["is_trained"]
        )


def _episode(facts: EpisodeFacts) -> JsonValue:
    values = {f.name: getattr(facts, f.name) for f in fields(EpisodeFacts)}
    return {**values, "said": [dict(message) for message in facts.said], "counts": dict(facts.counts)}


def _told(state: Any) -> EpisodeFacts:
    values = dict(state)
    values["said"] = tuple(values["said"])
    return EpisodeFacts(**values)
