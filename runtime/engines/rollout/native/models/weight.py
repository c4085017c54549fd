"""One weight of the native engine as Hugging Face knows it: a view of wherever the engine keeps it.

The engine fuses weights that read the same input and turns rows around, so that its forward pass is quick; these views
are how weights arrive, leave and are compared by the names and shapes that all others use.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Weight:
    """One weight as Hugging Face knows it.

    `stored` views the fused storage; reshaped to `shape` it is the weight.  `copies` views all places where it is
    kept, with more leading dimensions if there are several.
    """

    name: str
    shape: tuple[int, ...]
    stored: Tensor
    copies: Tensor

    def load(self, tensor: Tensor) -> None:
        """Copy in a tensor of the weight's shape."""
        self.copies.copy_(tensor.reshape(self.stored.shape))

    def value(self) -> Tensor:
        """Return the weight, a view where its layout allows."""
        return self.stored.reshape(self.shape)


def plain(name: str, stored: Tensor) -> Weight:
    """Return a weight that is kept as it is."""
    return Weight(name=name, shape=tuple(stored.shape), stored=stored, copies=stored)


def paired(name: str, stored: Tensor, *, head_dim: int) -> Weight:
    """View rows whose rotary pairs lie side by side in the order of Hugging Face, all first halves first."""
    halves = stored.unflatten(0, (-1, head_dim // 2, 2)).transpose(1, 2)
    return Weight(name=name, shape=tuple(stored.shape), stored=halves, copies=halves)


def repeated(name: str, norm_AH: Tensor, *, is_paired: bool) -> Weight:
    """View a norm that is kept once for each head, its rotary pairs side by side where `is_paired`."""
    copies = norm_AH.unflatten(1, (-1, 2)).transpose(1, 2) if is_paired else norm_AH
    return Weight(name=name, shape=tuple(norm_AH.shape[1:]), stored=copies[0], copies=copies)
