"""One weight of the native engine as Hugging Face knows it: a view of wherever the engine keeps it.

The engine fuses weights that read the same input and turns rows around, so that its forward pass is quick; these views
are how weights arrive, leave and are compared by the names and shapes that all others use.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """One weight as Hugging Face knows it.

    `stored` views the fused storage; reshaped to `shape` it is the weight, unless channels are out of order: then
    `order` says which channel of a head each one of the second dimension of `stored` is.  `copies` views all places
    where it is kept, with more leading dimensions if there are several.
    """

    name: str
    shape: tuple[int, ...]
    stored: Tensor
    copies: Tensor
    order: Tensor | None = None

    def load(self, tensor: Tensor) -> None:
        """Copy in a tensor of the weight's shape."""
        given = tensor.reshape(self.stored.shape)
        self.copies.copy_(given if self.order is None else given.index_select(1, self.order))

    def value(self) -> Tensor:
        """Return the weight, a view where its layout allows."""
        held = self.stored if self.order is None else self.stored.index_select(1, self.order.argsort())
        return held.reshape(self.shape)


def plain(name: str, stored: Tensor) -> Weight:
    """Return a weight that is kept as it is."""
    return Weight(name=name, shape=tuple(stored.shape), stored=stored, copies=stored)


def side_by_side(head_dim: int, *, first: int, num_turned: int) -> Tensor | None:
    """Return [H] the order of a head's channels in which those that turn together are neighbours.

    Of the channels `first` to `first + num_turned - 1` Hugging Face turns each with one of the other half; the rest
    keeps its place.  None for a whole head, for which a view is enough.
    """
    if num_turned == head_dim:
        return None
    order = torch.arange(head_dim)
    order[first : first + num_turned] = first + torch.arange(num_turned).view(2, -1).t().reshape(-1)
    return order


def paired(name: str, stored: Tensor, *, head_dim: int, order: Tensor | None = None) -> Weight:
    """View rows whose rotary pairs lie side by side in the order of Hugging Face.

    Args:
        order: that of side_by_side; None where whole heads turn.
    """
    shape = tuple(stored.shape)
    if order is not None:
        heads = stored.unflatten(0, (-1, head_dim))
        return Weight(name=name, shape=shape, stored=heads, copies=heads, order=order)
    halves = stored.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2)
    return Weight(name=name, shape=shape, stored=halves, copies=halves)


def repeated(name: str, norm_AH: Tensor, *, is_paired: bool, order: Tensor | None = None) -> Weight:
    """View a norm that is kept once for each head, its rotary pairs side by side where `is_paired`."""
    shape = tuple(norm_AH.shape[1:])
    if is_paired and order is not None:
        return Weight(name=name, shape=shape, stored=norm_AH[:1], copies=norm_AH, order=order)
    copies = norm_AH.unflatten(1, (-1, 2)).transpose(1, 2) if is_paired else norm_AH
    return Weight(name=name, shape=shape, stored=copies[0], copies=copies)
