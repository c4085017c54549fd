"""Attention holds together.

What: the rotary share of a head is a whole, even number of channels; positions stretched by YaRN reach as far as the
model is said to go; a head of latent attention is as wide as its two parts, and has keys and values of its own; value
heads of a delta net are a multiple
of its key heads, and some layer has full attention; the leading layers of an indexer are there.
The same is asked of `[teacher]`.
Why it matters: shapes that do not fit fail in the first forward pass, with numbers that name no field; a share that is
cut down to whole channels, or a position beyond the stretched ones, gives another model's output without a message.
Example: `model.rope_fraction = 0.3` of a head of 64 channels.
Fix: take the numbers of the model's own config.json; the message has the nearest that fit.
Source: transformers' modeling files of each architecture.
"""

from __future__ import annotations

from collections.abc import Iterator

from compiler.diagnostics.diagnostic import Diagnostic, Help, alternatives
from compiler.ir.model import LatentAttention, LinearAttention, Model, RopeScaling, SparseIndexer
from compiler.ir.openness import Auto, Off
from compiler.ir.subject import Subject
from compiler.rules._every_model import of_every_model
from compiler.rules._gpu_layout import fix

CODE = "RLC0318"
ID = "PAR-02"
_FARTHEST = 2**53  # whole numbers up to here are exact as floats
_WIDTH, _FRACTION, _LAYERS = "model.head_dim", "model.rope_fraction", "model.num_layers"
_BASE = "model.rope_base"
_LONGEST, _FACTOR = "model.max_position_tokens", "model.rope_scaling.factor"
_ORIGINAL = "model.rope_scaling.original_max_position_tokens"
_HEADS, _SHARED = "model.num_heads", "model.num_kv_heads"
_ROPE, _PLAIN = "model.mla.qk_rope_dim", "model.mla.qk_nope_dim"
_KEYS, _VALUES = "model.linear_attention.num_key_heads", "model.linear_attention.num_value_heads"
_INTERVAL, _LEADING = "model.linear_attention.full_attention_interval", "model.indexer.leading_layers"


def check(subject: Subject) -> Iterator[Diagnostic]:
    """Report widths and layers that do not fit each other."""
    yield from of_every_model(subject, _check)


def _check(subject: Subject) -> Iterator[Diagnostic]:
    model = subject.experiment.model
    if isinstance(model.mla, Off):
        yield from _rotary(subject, model)
    else:
        yield from _latent(subject, model, model.mla)
    if not isinstance(model.rope_scaling, Off):
        yield from _stretched(subject, model.max_position_tokens, model.rope_scaling)
    if not isinstance(model.linear_attention, Off):
        yield from _delta_net(subject, model.num_layers, model.linear_attention)
    if not isinstance(model.indexer, Off):
        yield from _indexer(subject, model, model.indexer)


def _rotary(subject: Subject, model: Model[Auto]) -> Iterator[Diagnostic]:
    turning = model.head_dim * model.rope_fraction
    if model.head_dim % 2 or turning % 2 == 0:  # an odd head is another rule's
        return
    near = [n for n in (int(turning) // 2 * 2, int(turning) // 2 * 2 + 2) if 0 < n <= model.head_dim]
    yield _diagnostic(
        subject,
        f"{turning:g} of {model.head_dim:,} channels of a head cannot be turned in pairs",
        ((_WIDTH, f"{model.head_dim:,} channels"), (_FRACTION, "no even number of them")),
        tuple(fix(_FRACTION, n / model.head_dim) for n in near),
    )


def _stretched(subject: Subject, longest: int, scaling: RopeScaling) -> Iterator[Diagnostic]:
    """Llama 3's rule has no such end: it leaves short waves as they are."""
    base = subject.experiment.model.rope_base
    if scaling.kind == "yarn" and base <= 1:
        yield _diagnostic(
            subject,
            f"waves of base {base:g} have no long ones, which YaRN could stretch",
            ((_BASE, "not above 1"),),
            (fix(_BASE, 10000.0),),
        )
    reach = int(min(scaling.factor * scaling.original_max_position_tokens, _FARTHEST))
    if scaling.kind == "yarn" and longest > reach:
        yield _diagnostic(
            subject,
            f"{scaling.original_max_position_tokens:,} positions stretched {scaling.factor:g} times do not reach "
            f"{longest:,}",
            ((_ORIGINAL, "positions before"), (_FACTOR, f"reaches {reach:,}"), (_LONGEST, "farther than that")),
            (fix(_LONGEST, reach), fix(_FACTOR, float(-(-longest // scaling.original_max_position_tokens)))),
        )


def _latent(subject: Subject, model: Model[Auto], mla: LatentAttention) -> Iterator[Diagnostic]:
    width, heads, shared = model.head_dim, model.num_heads, model.num_kv_heads
    if heads != shared:
        yield _diagnostic(
            subject,
            f"each of {heads:,} heads of latent attention has keys and values of its own, not one of {shared:,}",
            ((_HEADS, f"{heads:,} heads"), (_SHARED, "another number")),
            (fix(_SHARED, heads),),
        )
    parts = mla.qk_nope_dim + mla.qk_rope_dim
    if width != parts:
        yield _diagnostic(
            subject,
            f"a head of {mla.qk_nope_dim:,} + {mla.qk_rope_dim:,} channels is not {width:,} wide",
            ((_PLAIN, "channels without a position"), (_ROPE, "channels that turn"), (_WIDTH, "not their sum")),
            (fix(_WIDTH, parts),),
        )
    if mla.qk_rope_dim % 2:
        yield _diagnostic(
            subject,
            f"{mla.qk_rope_dim:,} channels cannot be turned in pairs",
            ((_ROPE, "an odd number"),),
            (),
        )


def _delta_net(subject: Subject, layers: int, linear: LinearAttention) -> Iterator[Diagnostic]:
    if linear.num_value_heads % linear.num_key_heads:
        below = linear.num_value_heads // linear.num_key_heads * linear.num_key_heads
        near = [n for n in (below, below + linear.num_key_heads) if n > 0]
        yield _diagnostic(
            subject,
            f"{linear.num_value_heads:,} value heads cannot share {linear.num_key_heads:,} key heads evenly",
            ((_KEYS, f"{linear.num_key_heads:,} key heads"), (_VALUES, "not a multiple")),
            tuple(fix(_VALUES, n) for n in near),
        )
    if linear.full_attention_interval > layers:
        yield _diagnostic(
            subject,
            f"none of {layers:,} layers has full attention",
            ((_LAYERS, f"{layers:,} layers"), (_INTERVAL, "every so many layers one")),
            (fix(_INTERVAL, layers),) if layers > 1 else (),
        )


def _indexer(subject: Subject, model: Model[Auto], indexer: SparseIndexer) -> Iterator[Diagnostic]:
    if indexer.leading_layers > model.num_layers:
        yield _diagnostic(
            subject,
            f"{indexer.leading_layers:,} leading layers are more than the {model.num_layers:,} of the model",
            ((_LAYERS, f"{model.num_layers:,} layers"), (_LEADING, "more than there are")),
            (fix(_LEADING, model.num_layers),),
        )


def _diagnostic(
    subject: Subject, message: str, said: tuple[tuple[str, str], ...], ways: tuple[Help, ...]
) -> Diagnostic:
    paths = tuple(path for path, _ in said)
    return Diagnostic(CODE, message, subject.labels(*said), alternatives(*ways), rule=ID, paths=paths)
