"""The state of a trainer under flat names, whatever processes have which part of it.

A state holds whole tensors, so one that was saved by many processes is loaded by one, or by another number of them.
Tensors are put together one at a time, and only the process that keeps the state holds more than one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from runtime.engines.train.hf_model import check_names_and_shapes
from runtime.engines.train.network import Network
from runtime.engines.train.optimizer import Optimizer


class Held(NamedTuple):
    """A live tensor, and the weight of a network that it is, or belongs to; None where every process has it whole."""

    live: Tensor
    network: Network | None = None
    weight: str = ""


def held_by(network: Network, prefix: str) -> dict[str, Held]:
    """Return the weights of a network, `<prefix>.<name>`."""
    return {f"{prefix}.{name}": Held(live, network, name) for name, live in network.held().items()}


def held_by_rule(optimizer: Optimizer, network: Network, prefix: str) -> dict[str, Held]:
    """Return what an update rule keeps of a network's weights, `<prefix>.step` and `<prefix>.<moment>.<name>`."""
    found: dict[str, Held] = {}
    for name, live in optimizer.state().items():
        _, dot, weight = name.partition(".")
        found[f"{prefix}.{name}"] = Held(live, network, weight) if dot else Held(live)
    return found


def saved(held: Mapping[str, Held], *, keeps: bool) -> dict[str, Tensor]:
    """Return copies of all, whole, where `keeps` says so, and nothing elsewhere."""
    found: dict[str, Tensor] = {}
    for name, whole in wholes(held):
        if keeps:
            found[name] = whole.cpu().clone() if whole.device.type == "cpu" else whole.cpu()
    return found


def wholes(held: Mapping[str, Held]) -> Iterator[tuple[str, Tensor]]:
    """Yield all, whole, not copied, one put together at a time: every process goes through them."""
    for name, (live, network, weight) in held.items():
        yield name, live.detach() if network is None else network.whole(weight, live)


def check_state(held: Mapping[str, Held], state: Mapping[str, Tensor], *, what: str) -> None:
    """Raise SpecError RLC0644 with `what` if names or shapes differ."""
    shapes = {
        name: live.shape if network is None else network.shape(weight, live)
        for name, (live, network, weight) in held.items()
    }
    check_names_and_shapes(shapes, state, code="RLC0644", what=what)


@torch.no_grad()
def load(held: Mapping[str, Held], state: Mapping[str, Tensor]) -> None:
    """Copy into each live tensor what is its of the given one."""
    for name, (live, network, weight) in held.items():
        if network is None:
            live.copy_(state[name])
        else:
            network.fill(weight, live, state[name])


def load_rule(optimizer: Optimizer, network: Network, state: Mapping[str, Tensor], prefix: str) -> None:
    """Let an update rule take over what it kept, and the number of its steps."""
    begins = f"{prefix}."
    own = {name.removeprefix(begins): tensor for name, tensor in state.items() if name.startswith(begins)}
    with torch.no_grad():
        optimizer.load_state(own, network.fill)
