"""Experts can be routed.

What: a token visits no more experts than there are; groups divide the experts, a token visits no more groups than there
are, and those groups hold the experts that it visits; a group holds the two by which it is ranked; a shared expert is
as wide as one routed expert or several; some layer has experts.
The same is asked of `[teacher]`.
Why it matters: a router that picks more than it has fails in the first forward pass; groups that do not come out even
fail when the scores are reshaped, and neither message names a field.  A shared expert of a balanced router is written
down as a number of experts, and what does not come out even would be cut down.
Example: `model.moe.experts_per_token = 8` with 4 experts.
Fix: take the numbers of the model's own config.json; the message has the nearest that fit.
Source: Megatron-core's TransformerConfig; transformers' DeepseekV3TopkRouter.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.model import Moe
from compiler.ir.openness import Off
from compiler.ir.subject import Subject
from compiler.rules._every_model import of_every_model
from compiler.rules._gpu_layout import fix, near_divisors

CODE = "RLC0317"
ID = "PAR-02"
_EXPERTS, _VISITED = "model.moe.num_experts", "model.moe.experts_per_token"
_GROUPS, _VISITED_GROUPS = "model.moe.num_groups", "model.moe.groups_per_token"
_EACH, _SHARED = "model.moe.expert_size", "model.moe.shared_expert_size"
_RANKED_BY = 2  # best experts of a group
_DENSE, _LAYERS = "model.moe.num_dense_layers", "model.num_layers"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report experts, groups and layers that cannot be as they are said to be."""
    yield from of_every_model(subject, _check)


def _check(subject: Subject) -> Iterator[Diagnostic]:
    moe = subject.experiment.model.moe
    if isinstance(moe, Off):
        return
    if moe.experts_per_token > moe.num_experts:
        yield _diagnostic(
            subject,
            f"a token cannot visit {moe.experts_per_token:,} of {moe.num_experts:,} experts",
            ((_EXPERTS, f"{moe.num_experts:,} experts"), (_VISITED, "more than there are")),
            (fix(_VISITED, moe.num_experts), fix(_EXPERTS, moe.experts_per_token)),
        )
    else:
        yield from _groups(subject, moe)
    yield from _shared(subject, moe)
    layers = subject.experiment.model.num_layers
    if moe.num_dense_layers >= layers:
        yield _diagnostic(
            subject,
            f"no layer has experts: {moe.num_dense_layers:,} of {layers:,} have none",
            ((_LAYERS, f"{layers:,} layers"), (_DENSE, "leaves none with experts")),
            (fix(_DENSE, layers - 1),),
        )


def _groups(subject: Subject, moe: Moe) -> Iterator[Diagnostic]:
    groups, visited = moe.num_groups, moe.groups_per_token
    if moe.num_experts % groups:
        yield _diagnostic(
            subject,
            f"{moe.num_experts:,} experts cannot be divided into {groups:,} groups",
            ((_EXPERTS, f"{moe.num_experts:,} experts"), (_GROUPS, "not a divisor")),
            tuple(fix(_GROUPS, n) for n in near_divisors(moe.num_experts, groups) if n >= visited),
        )
    elif visited > groups:
        yield _diagnostic(
            subject,
            f"a token cannot visit {visited:,} of {groups:,} groups",
            ((_GROUPS, f"{groups:,} groups"), (_VISITED_GROUPS, "more than there are")),
            (fix(_VISITED_GROUPS, groups),),
        )
    elif groups > 1 and moe.num_experts // groups < _RANKED_BY:
        yield _diagnostic(
            subject,
            f"groups of one expert cannot be ranked by the {_RANKED_BY} best of each",
            ((_EXPERTS, f"{moe.num_experts:,} experts"), (_GROUPS, "as many groups")),
            (fix(_EXPERTS, _RANKED_BY * groups),),
        )
    elif moe.experts_per_token > visited * (moe.num_experts // groups):
        each = moe.num_experts // groups
        yield _diagnostic(
            subject,
            f"the groups of a token hold {visited * each:,} experts, and it visits {moe.experts_per_token:,}",
            ((_GROUPS, f"{each:,} experts each"), (_VISITED, "more experts"), (_VISITED_GROUPS, "too few groups")),
            (fix(_VISITED_GROUPS, -(-moe.experts_per_token // each)), fix(_VISITED, visited * each)),
        )


def _shared(subject: Subject, moe: Moe) -> Iterator[Diagnostic]:
    """Where a bias balances the experts, a configuration counts shared experts of the routed ones' width."""
    width, one = moe.shared_expert_size, moe.expert_size
    if isinstance(width, Off) or not moe.expert_bias or width % one == 0:
        return
    near = [n for n in (width // one * one, -(-width // one) * one) if n > 0]
    yield _diagnostic(
        subject,
        f"a shared expert of {width:,} channels is no whole number of experts of {one:,}",
        ((_EACH, f"{one:,} channels"), (_SHARED, "not a multiple")),
        tuple(fix(_SHARED, n) for n in near),
    )


def _diagnostic(
    subject: Subject, message: str, said: tuple[tuple[str, str], ...], ways: tuple[Help, ...]
) -> Diagnostic:
    paths = tuple(path for path, _ in said)
    return Diagnostic(CODE, message, subject.labels(*said), alternatives(*ways), rule=ID, paths=paths)
