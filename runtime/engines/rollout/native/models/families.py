"""What the weights of each family are called in its Hugging Face checkpoints, where that differs."""

from __future__ import annotations

from typing import Final, NamedTuple


class Names(NamedTuple):
    """Names of weights.

    norms: of the norms before attention, before feed-forward, after attention and after feed-forward.
    fuses_gate_and_up: whether one weight holds both rows of the gated layer.
    """

    norms: tuple[str, str, str, str] = ("input_layernorm", "post_attention_layernorm", "", "")
    fuses_gate_and_up: bool = False


_GLM4: Final = Names(
    norms=("input_layernorm", "post_attention_layernorm", "post_self_attn_layernorm", "post_mlp_layernorm"),
    fuses_gate_and_up=True,
)


def names_of(family: str) -> Names:
    """Return the names of a family that the target says this engine knows."""
    return _GLM4 if family == "glm4" else Names()
