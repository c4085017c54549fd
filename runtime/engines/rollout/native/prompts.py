"""The running of prompts: those of like length together, long ones in parts, and none whose beginning is known.

A prompt that begins with tokens whose keys and values are held, by a sequence under way or as a prefix, takes these
over and runs from there.  Its last token is run in any case: the logits after it are what the first draw needs.

Shapes: L layers, G prompts, K key-value heads, P positions, H head width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from runtime.engines.rollout.native.drafter import Drafter
from runtime.engines.rollout.native.endings import named_and_likeliest
from runtime.engines.rollout.native.lanes import Lanes
from runtime.engines.rollout.native.models.decoder import Decoder
from runtime.engines.rollout.native.prefixes import Held
from runtime.engines.rollout.native.sequences import Group, Prompt, PromptLogprobs
from runtime.protocols import GenerationRequest

_PADDED_TO_MAX: Final = 1.25


class Prompts:
    """Runs prompts.

    `num_tokens` counts the tokens of all prompts that were run, `num_reused_tokens` those of them that were not
    computed because they were held.
    """

    def __init__(self, network: Decoder, lanes: Lanes, drafter: Drafter | None = None) -> None:
        self._network = network
        self._drafter = drafter
        self._lanes = lanes
        self.num_tokens = 0
        self.num_reused_tokens = 0

    def num_to_run(self, group: Group, *, version: int) -> int:
        """Return how many tokens of a group's prompt are still to be run, after taking over what is held of it."""
        tokens, prompt = group.request.tokens, group.prompt
        if prompt is not None and prompt.version == version:
            return len(tokens) - prompt.num_done
        group.prompt, group.prompt_logprobs = None, PromptLogprobs()
        found = self._lanes.prefixes.find(tokens)
        if found is None:
            return len(tokens)
        source, num_same = found
        num_done = min(num_same, len(tokens) - 1)
        if group.request.prompt_logprobs_from is not None:
            num_done = min(num_done, group.request.prompt_logprobs_from - 1)
        if isinstance(source, Held):
            kv_L1KPH, ids_PLC = source.kv_L1KPH[:, :, :, :num_done], source.expert_ids_PLC
        else:
            lane, row, _ = next(place for place in self._lanes.live() if place.sequence is source)
            kv_L1KPH = lane.cache.take(row, num_positions=num_done)
            ids_PLC = None if lane.log is None else lane.log.of(row, num_tokens=num_done).ids_TLC
        self.num_reused_tokens += num_done
        # Of one that was preempted they are those of its own prompt, not of what it drew.
        group.num_cached = group.num_cached if group.before.tokens else num_done
        group.prompt = Prompt(
            kv_LGKPH=kv_L1KPH,
            at=0,
            num_done=num_done,
            version=version,
            expert_ids_GPLC=None if ids_PLC is None else ids_PLC[None],
        )
        return len(tokens) - num_done

    def run(self, groups: Sequence[Group], *, version: int) -> None:
        """Run the prompts of groups to their ends."""
        self.num_tokens += sum(len(g.request.tokens) for g in groups)
        for group in groups:
            if self._network.runs_prompts_alone or group.request.prompt_logprobs_from is not None:
                self._go_on([group], _num_left(group), version)
        fresh = sorted((g for g in groups if g.prompt is None), key=lambda g: len(g.request.tokens))
        for chunk in _alike(fresh, [len(g.request.tokens) for g in fresh]):
            self._run_whole(chunk, version)
        begun = [g for g in groups if g.prompt is not None and g.prompt.logits_GV is None]
        begun.sort(key=_num_left)
        for chunk in _alike(begun, [_num_left(g) for g in begun]):
            self._go_on(chunk, max(_num_left(g) for g in chunk), version)

    def run_part(self, group: Group, num_tokens: int, *, version: int) -> None:
        """Run so many further tokens of a prompt, which has more."""
        self._go_on([group], num_tokens, version)

    def _run_whole(self, chunk: Sequence[Group], version: int) -> None:
        prompts = [g.request.tokens for g in chunk]
        width = max(len(p) for p in prompts)
        token_GP = torch.tensor([[*p, *[0] * (width - len(p))] for p in prompts])
        kv_LGKPH, logits_GV = self._network.prefill(token_GP, torch.tensor([len(p) - 1 for p in prompts]))
        ids = self._network.chosen_experts().unflatten(0, tuple(token_GP.shape)) if self._lanes.has_logs else None
        hidden_GD = self._followed(kv_LGKPH, prompts, [0] * len(chunk), width)
        for at, (group, tokens) in enumerate(zip(chunk, prompts, strict=True)):
            group.prompt = Prompt(
                kv_LGKPH=kv_LGKPH,
                at=at,
                num_done=len(tokens),
                version=version,
                logits_GV=logits_GV,
                expert_ids_GPLC=ids,
                hidden_GD=hidden_GD,
            )

    def _go_on(self, chunk: Sequence[Group], num_tokens: int, version: int) -> None:
        starts = [0 if g.prompt is None else g.prompt.num_done for g in chunk]
        parts = [g.request.tokens[start : start + num_tokens] for g, start in zip(chunk, starts, strict=True)]
        # A shorter part is padded, and so is what it writes.
        kv_LGKPH = self._network.empty_prompts(len(chunk), num_positions=max(starts) + num_tokens)
        for at, (group, start) in enumerate(zip(chunk, starts, strict=True)):
            if group.prompt is not None:
                kv_LGKPH[:, at, :, :start] = group.prompt.kv_LGKPH[:, group.prompt.at, :, :start]
        token_GP = torch.tensor([[*p, *[0] * (num_tokens - len(p))] for p in parts])
        last_G = torch.tensor([len(p) - 1 for p in parts])
        if chunk[0].request.prompt_logprobs_from is not None:
            logits_PV = self._network.extend(kv_LGKPH, token_GP, torch.tensor(starts), None)
            chunk[0].prompt_logprobs += _wanted_logprobs(chunk[0].request, logits_PV, start=starts[0])
            logits_GV = logits_PV[-1:]
        else:
            logits_GV = self._network.extend(kv_LGKPH, token_GP, torch.tensor(starts), last_G)
        ids = self._ids_after(chunk, starts, num_tokens) if self._lanes.has_logs else None
        hidden_GD = self._followed(kv_LGKPH, [g.request.tokens for g in chunk], starts, num_tokens)
        for at, (group, start, part) in enumerate(zip(chunk, starts, parts, strict=True)):
            done = start + len(part)
            logits = logits_GV if done == len(group.request.tokens) else None
            group.prompt = Prompt(
                kv_LGKPH=kv_LGKPH,
                at=at,
                num_done=done,
                version=version,
                logits_GV=logits,
                expert_ids_GPLC=ids,
                hidden_GD=hidden_GD,
            )

    def _followed(
        self, kv_LGKPH: Tensor, prompts: Sequence[tuple[int, ...]], starts: Sequence[int], num_tokens: int
    ) -> Tensor | None:
        """Let the layer that drafts see what was run of prompts; return [G, D] the hidden states after their ends."""
        if self._drafter is None:
            return None
        hidden_GND = self._network.prompt_states().unflatten(0, (len(prompts), num_tokens))
        return self._drafter.follow(kv_LGKPH, hidden_GND, prompts, starts)

    def _ids_after(self, chunk: Sequence[Group], starts: Sequence[int], num_tokens: int) -> Tensor:
        """Return [G, P, L, C] the experts of what was held of prompts and of the tokens that were run now."""
        new_GNLC = self._network.chosen_experts().unflatten(0, (len(chunk), num_tokens))
        ids_GPLC = new_GNLC.new_zeros(len(chunk), max(starts) + num_tokens, *new_GNLC.shape[2:])
        for at, (group, start) in enumerate(zip(chunk, starts, strict=True)):
            if group.prompt is not None and group.prompt.expert_ids_GPLC is not None:
                ids_GPLC[at, :start] = group.prompt.expert_ids_GPLC[group.prompt.at, :start]
            ids_GPLC[at, start : start + num_tokens] = new_GNLC[at]
        return ids_GPLC


def _wanted_logprobs(request: GenerationRequest, logits_PV: Tensor, *, start: int) -> PromptLogprobs:
    """Return what is wanted of those prompt tokens that follow the logits of positions start on."""
    first = max(request.prompt_logprobs_from or 1, start + 1)
    tokens = request.tokens[first : start + 1 + logits_PV.shape[0]]
    logits_NV = logits_PV[first - start - 1 :][: len(tokens)] / (request.sampling.temperature or 1.0)
    logprob_NV = logits_NV.log_softmax(-1)
    own_N = logprob_NV.gather(1, torch.tensor(tokens, dtype=torch.int64)[:, None])[:, 0]
    named, top = named_and_likeliest(request, logprob_NV)
    return PromptLogprobs(logprobs=tuple(own_N.tolist()), named=named, top=top)


def _num_left(group: Group) -> int:
    return len(group.request.tokens) - (0 if group.prompt is None else group.prompt.num_done)


def _alike(groups: Sequence[Group], lengths: Sequence[int]) -> list[list[Group]]:
    """Return groups, the shortest first, in runs that lose little to padding."""
    runs: list[list[Group]] = []
    shortest = 0
    for group, length in zip(groups, lengths, strict=True):
        if not runs or length > shortest * _PADDED_TO_MAX:
            runs.append([])
            shortest = length
        runs[-1].append(group)
    return runs
