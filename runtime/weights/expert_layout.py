"""Expert weights as checkpoints store them, one tensor for each expert, and as models compute with them, stacked.

Stacked: `mlp.experts.gate_up_proj` [E, 2 F, D] and `mlp.experts.down_proj` [E, D, F].  In files:
`mlp.experts.3.gate_proj.weight` [F, D], `up_proj` and `down_proj` [D, F].

Shape letters: E experts, F inner width of one, D model width.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

_STACKED = re.compile(r"(.*\.experts)\.(gate_up_proj|down_proj)")
_SINGLE = re.compile(r"(.*\.experts)\.(\d+)\.(gate_proj|up_proj|down_proj)\.weight")


def as_stored(weights: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield weights by the names that files of checkpoints have."""
    for name, tensor in weights.items():
        found = _STACKED.fullmatch(name)
        if found is None:
            yield name, tensor
            continue
        for expert, part in enumerate(tensor.unbind()):
            if found[2] == "down_proj":
                yield f"{found[1]}.{expert}.down_proj.weight", part
            else:
                gate_FD, up_FD = part.chunk(2)
                yield f"{found[1]}.{expert}.gate_proj.weight", gate_FD
                yield f"{found[1]}.{expert}.up_proj.weight", up_FD


def as_computed(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights by the names that models have.

    Experts that lack one of their parts, or differ in shape, keep the names that they have.
    """
    experts: dict[str, dict[tuple[int, str], str]] = {}
    for name in stored:
        found = _SINGLE.fullmatch(name)
        if found is not None:
            experts.setdefault(found[1], {})[int(found[2]), found[3]] = name
    weights = dict(stored)
    for at, names in experts.items():
        num_experts = max(expert for expert, _ in names) + 1
        parts = {
            kind: [stored[names[expert, kind]] for expert in range(num_experts) if (expert, kind) in names]
            for kind in ("gate_proj", "up_proj", "down_proj")
        }
        shapes = {kind: {tensor.shape for tensor in tensors} for kind, tensors in parts.items()}
        is_whole = all(len(tensors) == num_experts for tensors in parts.values())
        if is_whole and all(len(found) == 1 for found in shapes.values()) and shapes["gate_proj"] == shapes["up_proj"]:
            for name in names.values():
                del weights[name]
            gate_EFD, up_EFD = torch.stack(parts["gate_proj"]), torch.stack(parts["up_proj"])
            weights[f"{at}.gate_up_proj"] = torch.cat([gate_EFD, up_EFD], dim=1)
            weights[f"{at}.down_proj"] = torch.stack(parts["down_proj"])
    return weights
