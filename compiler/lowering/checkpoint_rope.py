"""Rotary positions of a checkpoint: flat keys with `rope_scaling`, or `rope_parameters`, which newer files have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from compiler.lowering.checkpoint_said import Fact, Said, Unsupported, count

if TYPE_CHECKING:
    from compiler.lowering.checkpoint_config import Family

_NO_SCALING = ("default", None)
_KINDS = {
    "llama3": {"factor": "factor", "low_freq_factor": "low_freq_factor", "high_freq_factor": "high_freq_factor"},
    "yarn": {
        "factor": "factor",
        "beta_fast": "beta_fast",
        "beta_slow": "beta_slow",
        "mscale": "mscale",
        "mscale_all_dim": "mscale_all_dim",
    },
}
_MOST = 1 << 20
_DEFAULTS = {"beta_fast": 32.0, "beta_slow": 1.0}
# What a file may say of positions beyond the kinds above, because it changes nothing for a text.
_IGNORED = frozenset(
    ("rope_theta", "rope_type", "type", "partial_rotary_factor", "mrope_section", "mrope_interleaved", "truncate")
)


def rope_facts(said: Said, family: Family) -> dict[str, Fact]:
    """Return the facts about positions."""
    nested = said.table("rope_parameters") or {}
    base = Fact(nested["rope_theta"], "rope_theta") if "rope_theta" in nested else said.fact("rope_theta")
    found = {
        "rope_base": base,
        "rope_fraction": _fraction(said, nested, family),
        "rope_interleaved": said.fact("rope_interleave", family.is_interleaved)
        if family.is_latent
        else Fact(family.is_interleaved, "model_type"),
    }
    key, scaling = _scaling(said)
    kind = _kind(scaling)
    if kind not in _KINDS:
        return found
    original = scaling.get("original_max_position_embeddings") or said.get("max_position_embeddings")
    found |= {
        "rope_scaling.kind": Fact(kind, key),
        "rope_scaling.original_max_position_tokens": Fact(original, key),
    }
    reach = _reach(scaling.get("factor"), original) if kind == "yarn" else None
    longest = count(said.get("max_position_embeddings"))
    # Some files say how long the positions were, others how long they are now.
    if reach is not None and longest is not None and reach > longest:
        found["max_position_tokens"] = Fact(reach, key)
    for name, spelled in _KINDS[kind].items():
        value = scaling.get(spelled)
        value = _DEFAULTS.get(name) if value is None else value
        if value is not None:
            found[f"rope_scaling.{name}"] = Fact(value, key)
    return found


def unsupported_rope(said: Said) -> Iterator[Unsupported]:
    """Yield what a file says of positions and the schema cannot."""
    key, scaling = _scaling(said)
    kind = _kind(scaling)
    if kind in _NO_SCALING:
        return
    if kind not in _KINDS:
        yield Unsupported(key, f"rotary positions of the kind {kind} are not known here", "llama3 or yarn")
        return
    known = _IGNORED | {*_KINDS[kind].values(), "original_max_position_embeddings"}
    for name, value in scaling.items():
        if name not in known and value is not None:
            yield Unsupported(name, f"{name} of rotary positions is not known here", "nothing of this name")


def _reach(factor: object, original: object) -> int | None:
    """How far positions reach that are stretched so many times."""
    before = count(original)
    if before is None or isinstance(factor, bool) or not isinstance(factor, (int, float)):
        return None
    return int(before * factor) if 1 <= factor <= _MOST else None


def _scaling(said: Said) -> tuple[str, Mapping[str, object]]:
    for key in ("rope_parameters", "rope_scaling"):
        table = said.table(key)
        if table is not None and _kind(table) not in _NO_SCALING:
            return key, table
    return "rope_scaling", {}


def _kind(scaling: Mapping[str, object]) -> str | None:
    kind = scaling.get("rope_type", scaling.get("type"))
    return None if kind is None else str(kind)


def _fraction(said: Said, nested: Mapping[str, object], family: Family) -> Fact:
    """The share of a head that turns; that of latent attention has channels of its own for it."""
    if family.is_latent:
        return Fact(1.0, "model_type")
    if nested.get("partial_rotary_factor") is not None:
        return Fact(nested["partial_rotary_factor"], "partial_rotary_factor")
    turning, width = count(said.get("rotary_dim")), count(said.get("head_dim", family.head_dim))
    if family.name == "minimax_m2" and turning is not None and width is not None:
        return Fact(turning / width, "rotary_dim")
    return said.fact("partial_rotary_factor", family.rope_fraction)
