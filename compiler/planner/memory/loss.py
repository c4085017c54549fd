"""What logits and the loss take at once, where the last layer has been computed and its gradient begins.

Bytes of one logit, by how the loss is computed:

- `parallel`: Megatron's cross-entropy over a split vocabulary: logits in bf16 (2), and one fp32 copy (4) that becomes
  exponentials, probabilities and the gradient in turn.
- `fused`: the gradient is written over the logits (2).
- `plain`: that of PyTorch: logits (2), fp32 copy (4), logarithms of probabilities (4), their gradient (4), that of the
  logits (2).
- `chunked`: as parallel, of so many columns of the vocabulary, or rows of tokens, as exist at once.

An entropy term keeps the probabilities a second time (4).
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.memory.lines import Line, Lines, non_empty
from compiler.planner.memory.network import Network
from compiler.planner.memory.pipeline import Layout

BYTES_PER_LOGIT = {"parallel": 6, "fused": 2, "plain": 16, "chunked": 6}
_ENTROPY = 4


class Loss(NamedTuple):
    """How log-probs and the loss are computed.

    Args:
        kind: one of BYTES_PER_LOGIT.
        columns: columns of the vocabulary that exist at once, where it is chunked; 0 for all of them.
        rows: tokens whose logits exist at once, where it is chunked; 0 for all of them.
    """

    kind: str = "parallel"
    columns: int = 0
    rows: int = 0
    has_entropy: bool = False


def loss_lines(network: Network, layout: Layout, loss: Loss, tokens: float, *, trains: bool = True) -> Lines:
    """Return the logits of one micro-batch of so many tokens, and what is made of them, on a GPU of the last stage.

    Where nothing is trained, as for log-probs, no gradient follows: logits and their fp32 copy.
    """
    shard = network.vocab / layout.tp
    columns = min(shard, loss.columns) if loss.columns else shard
    rows = tokens / layout.cp
    rows = min(rows, loss.rows) if loss.rows else rows
    each = BYTES_PER_LOGIT[loss.kind] + (_ENTROPY if loss.has_entropy else 0)
    if not trains:
        each = min(each, BYTES_PER_LOGIT["parallel"])
    heads = 1 + (network.mtp_layers if trains else 0)
    hidden = 2 * network.hidden * tokens / layout.cp
    return non_empty(
        Line("logits and loss", columns * rows * each * heads),
        Line("gathered last hidden state", hidden if layout.sequence_ways > 1 else 0.0),
    )
