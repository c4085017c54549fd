"""What a layer keeps, and what recomputation leaves of it."""

from __future__ import annotations

import pytest

from compiler.ir.model import LatentAttention, Moe
from compiler.planner.memory.activations import (
    Kernels,
    Pass,
    Recompute,
    Tokens,
    activation_lines,
    layer_kept,
    working_bytes,
)
from compiler.planner.memory.constants import CONSTANTS
from compiler.planner.memory.lines import total
from compiler.planner.memory.loss import Loss, loss_lines
from compiler.planner.memory.network import LayerKinds, Network, layer_kinds
from compiler.planner.memory.pipeline import Layout

DENSE = Network(8, 64, 256, 4, 2, 16, 1000)
SPARSE = DENSE._replace(moe=Moe(num_experts=8, experts_per_token=2, expert_size=32, shared_expert_size=32))
MLA = SPARSE._replace(mla=LatentAttention(kv_lora_rank=8, qk_nope_dim=16, qk_rope_dim=8, v_head_dim=16))
TOKENS = Tokens(128, 128 * 128)


def kept(network: Network, layout: Layout | None = None, recompute: Recompute | None = None) -> float:
    one = Pass(network, layout or Layout(), TOKENS, recompute or Recompute())
    return total(activation_lines(one, layer_kinds(network, 0, 8), 1))


def test_a_dense_layer_by_hand() -> None:
    """Norms' inputs and outputs 8h, q, k, v and their output 2 (2a + 2g) d, 4a for the softmax, 6f."""
    by_hand = 8 * 64 + 2 * (2 * 4 + 2 * 2) * 16 + 4 * 4 + 6 * 256
    assert kept(DENSE) == 8 * 128 * by_hand


@pytest.mark.parametrize("network", [DENSE, SPARSE, MLA])
@pytest.mark.parametrize(
    "recompute", [Recompute(), Recompute("selective", ("layernorm", "moe_act")), Recompute("full")]
)
def test_context_parallelism_halves_what_is_kept(network: Network, recompute: Recompute) -> None:
    assert kept(network, Layout(cp=2), recompute) == pytest.approx(kept(network, Layout(), recompute) / 2)


def test_sequence_parallelism_splits_what_tensor_parallelism_does_not() -> None:
    """Norms alone are whole without it."""
    without, with_it = kept(DENSE, Layout(tp=4)), kept(DENSE, Layout(tp=4, sp=True))
    assert with_it == pytest.approx(kept(DENSE) / 4)
    assert without - with_it == pytest.approx(8 * 128 * 8 * 64 * 3 / 4)


@pytest.mark.parametrize(
    ("module", "network", "saved"),
    [
        ("layernorm", DENSE, 4 * 64),
        ("mlp", DENSE, 6 * 256),
        ("moe_act", SPARSE, 2 * 2 * 32),
        ("shared_experts", SPARSE, 6 * 32),
        ("mla_up_proj", MLA, 2 * (2 * 4 * 24 + 4 * 16)),
    ],
)
def test_a_module_that_is_computed_again_is_not_kept(module: str, network: Network, saved: int) -> None:
    assert kept(network) - kept(network, recompute=Recompute("selective", (module,))) == pytest.approx(8 * 128 * saved)


def test_outputs_of_products_and_of_attention_by_hand() -> None:
    """A layer's input and its last products 3 x 2h; q, k, v 2 (a + 2g) d; attention (2d + 4) a; gate, up 4f."""
    recompute, plain = Recompute("selective", ("elementwise",)), Kernels(fuses_layers=False)
    one = Pass(DENSE._replace(qk_norm=True), Layout(), TOKENS, recompute, plain)
    by_hand = 3 * 2 * 64 + 2 * (4 + 2 * 2) * 16 + (2 * 16 + 4) * 4 + 4 * 256
    assert total(activation_lines(one, layer_kinds(DENSE, 0, 8), 1)) == 8 * 128 * by_hand


def test_attention_that_is_not_fused_keeps_scores_unless_they_are_computed_again() -> None:
    plain = Kernels(fuses_attention=False)
    one = Pass(DENSE, Layout(), TOKENS, Recompute(), plain)
    layers = LayerKinds(1, 0, 1, 0)
    scores = layer_kept(one, layers).scores
    assert scores == 2 * 4 * 128 * 128
    again = one._replace(recompute=Recompute("selective", ("core_attn",)))
    assert layer_kept(again, layers).total == layer_kept(one, layers).total - scores


def test_whole_layers_keep_their_inputs() -> None:
    layer = 128 * 2 * 64
    assert kept(DENSE, recompute=Recompute("full")) == 8 * layer
    assert kept(DENSE, recompute=Recompute("full", method="uniform", num_layers=4)) == 2 * layer
    block = kept(DENSE, recompute=Recompute("full", method="block", num_layers=6))
    assert block == pytest.approx(6 * layer + kept(DENSE) / 4)


def test_groups_of_layers_are_computed_again_together() -> None:
    def working(recompute: Recompute) -> float:
        return working_bytes(Pass(DENSE, Layout(), TOKENS, recompute), LayerKinds(8, 0, 8, 0), CONSTANTS)

    one_layer = kept(DENSE) / 8
    gradients = CONSTANTS.gradients_frac * one_layer
    assert working(Recompute()) == pytest.approx(gradients)
    assert working(Recompute("full", num_layers=4)) == pytest.approx(4 * one_layer + gradients)


def test_logits_by_how_the_loss_is_computed() -> None:
    def bytes_of(loss: Loss, **more: bool) -> float:
        return total(loss_lines(DENSE, Layout(tp=2), loss, 128, **more))

    logits = 128 * 500
    assert bytes_of(Loss("parallel")) == 6 * logits
    assert bytes_of(Loss("plain")) == 16 * logits
    assert bytes_of(Loss("parallel", has_entropy=True)) == 10 * logits
    assert bytes_of(Loss("chunked", rows=32)) == 6 * 32 * 500
    assert bytes_of(Loss("chunked", columns=100)) == 6 * 128 * 100
    assert bytes_of(Loss("plain"), trains=False) == 6 * logits
