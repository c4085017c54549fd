"""The experts of a sample that an engine took up again, after it was broken off or for another turn."""

from __future__ import annotations

import torch

from stdlib.samples import ExpertIds


def continued(before: ExpertIds | None, request: ExpertIds | None) -> ExpertIds | None:
    """Return the experts of a sample's tokens, with those that a further request of it recorded.

    Of a token that has some already these stay: they are those of the pass that drew the token behind it.

    Args:
        before: of the sample's first tokens.
        request: of all tokens of the sample, from the first one on.
    """
    if before is None or request is None:
        return request if before is None else before
    return ExpertIds(torch.cat([before.ids_TLC, request.ids_TLC[before.ids_TLC.shape[0] :]]))
