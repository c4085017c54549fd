"""`model.hf = PATH`: the facts of a Hugging Face directory's config.json, as if a recipe had written them.

Only config.json is read; weights and tokenizer are left to the run.
"""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.named_tuple import NamedTuple
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.value import RECIPE, Entry, Leaf, Table
from compiler.ir.model import Model
from compiler.lowering.reader import Reader
from compiler.lowering.scalars import Unreadable, read_scalar

_FAMILIES = {"qwen3": "qwen3"}
_KEYS = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_heads": "num_attention_heads",
    "num_kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocab_size": "vocab_size",
    "max_position_tokens": "max_position_embeddings",
    "norm_eps": "rms_norm_eps",
    "tie_embeddings": "tie_word_embeddings",
}
# What the engines compute, where a config.json may ask for something else.
_FIXED = {"hidden_act": "silu", "attention_bias": False, "use_sliding_window": False}
_LARGEST_CONFIG = 1 << 20

FACTS = ("family", "rope_base", *_KEYS)


def with_checkpoint_facts(value: Table, reader: Reader, root: Path, *, folder: str) -> Table:
    """Return the Value with [model] filled from model.hf, where that is set.

    Args:
        folder: what messages call the root.

    Reports RLC0212 (no such directory, no readable config.json, an architecture nobody knows) and RLC0213 (a fact of
    the spec contradicts the checkpoint).
    """
    model = value.entries.get("model")
    if model is None or not isinstance(model.node, Table):
        return value
    hf = model.node.entries.get("hf")
    if hf is None or not isinstance(hf.node, Leaf) or hf.node.value == "off" or not isinstance(hf.node.value, str):
        return value
    relative = reader.resolve_path(hf.node)
    facts: dict[str, Entry] = {}
    if isinstance(relative, str):
        name = posixpath.normpath(posixpath.join(folder, relative, "config.json"))
        config = _read_config(root / relative, name, hf.node, reader)
        facts = {} if config is None else _facts(config, hf.node, reader)
    if not facts:
        reader.broken.update(f"model.{name}" for name in FACTS)
        return value
    entries = dict(model.node.entries)
    for name, entry in facts.items():
        written = entries.get(name)
        if written is None:
            entries[name] = entry
        elif isinstance(written.node, Leaf) and isinstance(entry.node, Leaf):
            said, fact = _meaning(name, written.node), _meaning(name, entry.node)
            if said is not None and said != fact:
                _report_contradiction(name, written.node, entry.node, reader)
    table = model.node._replace(entries=entries)
    return value._replace(entries={**value.entries, "model": Entry(model.key_span, table)})


def _meaning(name: str, leaf: Leaf) -> object:
    """What a text says of a field, so that `"40Ki"` is 40960; None where it cannot be read, which is said elsewhere."""
    field = Model.fields()[name]
    values = (read_scalar(field, atom, leaf) for atom in field.kind.values)
    return next((value for value in values if not isinstance(value, Unreadable)), None)


class _Config(NamedTuple):
    """A config.json: its text, and what it says."""

    source: SourceFile
    said: dict[str, object]

    def span(self, key: str) -> Span:
        """Where the value of a key stands, or the beginning of the text."""
        found = re.search(rf'"{re.escape(key)}"\s*:\s*([^,\n}}]+)', self.source.text)
        return Span(self.source, *found.span(1)) if found else Span(self.source, 0, min(1, len(self.source.text)))


def _read_config(directory: Path, name: str, leaf: Leaf, reader: Reader) -> _Config | None:
    named = Label(leaf.span, "named here", True)
    try:
        if not directory.is_dir():
            near = nearest_names(directory.name, _folders(directory.parent))
            helps = tuple(Help(f"did you mean {posixpath.join(posixpath.dirname(str(leaf.value)), n)}?") for n in near)
            return _report(reader, f"there is no model directory {leaf.value}", (named,), helps)
        path = directory / "config.json"
        if not path.is_file():
            helps = (Help("a Hugging Face model directory has one"),)
            return _report(reader, f"{leaf.value} has no config.json", (named,), helps)
        if path.stat().st_size > _LARGEST_CONFIG:
            return _report(reader, f"{name} is larger than 1 MiB", (named,))
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as fault:
        why = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        return _report(reader, f"{name} cannot be read: {why.lower()}", (named,))
    source = SourceFile(name, text)
    named = named._replace(is_primary=False)
    try:
        said = json.loads(text)
    except json.JSONDecodeError as fault:
        at = Span(source, fault.pos, min(fault.pos + 1, len(text)))
        return _report(reader, f"{name} is not JSON", (named, Label(at, fault.msg.lower(), True)))
    except (ValueError, RecursionError):
        at = Span(source, 0, min(1, len(text)))
        return _report(reader, f"{name} is not JSON", (named, Label(at, "too deep, or a number too long", True)))
    if not isinstance(said, dict):
        at = Span(source, 0, min(1, len(text)))
        return _report(reader, f"{name} is not an object", (named, Label(at, "expected {", True)))
    return _Config(source, said)


def _folders(directory: Path) -> list[str]:
    try:
        return [p.name for p in directory.iterdir() if p.is_dir()]
    except OSError:
        return []


def _facts(config: _Config, leaf: Leaf, reader: Reader) -> dict[str, Entry]:
    named = Label(leaf.span, "named here")
    said = config.said
    family = _FAMILIES.get(str(said.get("model_type")))
    if family is None:
        known = ", ".join(sorted(_FAMILIES))
        message = f"the architecture of {config.source.name} is not known here"
        place = Label(config.span("model_type"), "no known architecture", True)
        _report(reader, message, (named, place), (Help(f"these are known: {known}"),))
        return {}
    rope = said.get("rope_parameters")
    rope_base = rope.get("rope_theta") if isinstance(rope, dict) else said.get("rope_theta")
    kind = rope.get("rope_type", "default") if isinstance(rope, dict) else "default"
    if kind != "default" or said.get("rope_scaling"):
        key = "rope_type" if kind != "default" else "rope_scaling"
        place = Label(config.span(key), "no engine here scales positions", True)
        _report(reader, "scaled rotary positions are not known here", (named, place))
    for key, known in _FIXED.items():
        if said.get(key) not in (known, None):
            place = Label(config.span(key), f"the engines here compute with {json.dumps(known)}", True)
            _report(reader, f"{key} = {json.dumps(said[key])} is not known here", (named, place))
    found: dict[str, object] = {"family": family, "rope_base": rope_base}
    keys = {"family": "model_type", "rope_base": "rope_theta", **_KEYS}
    for name, key in _KEYS.items():
        found[name] = said.get(key)
    heads, hidden = said.get("num_attention_heads"), said.get("hidden_size")
    if found["head_dim"] is None and isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
        found["head_dim"] = hidden // heads
    entries: dict[str, Entry] = {}
    for name, value in found.items():
        if isinstance(value, (int, float, str)):
            span = config.span(keys[name])
            entries[name] = Entry(span, Leaf(value, span, RECIPE))
    return entries


def _report(reader: Reader, message: str, labels: tuple[Label, ...], helps: tuple[Help, ...] = ()) -> None:
    reader.report("model.hf", Diagnostic("RLC0212", message, labels, helps))


def _report_contradiction(name: str, written: Leaf, fact: Leaf, reader: Reader) -> None:
    labels = (Label(fact.span, "what the checkpoint was trained with"), Label(written.span, "contradicts it", True))
    message = f"model.{name} is {fact.value} in the checkpoint"
    helps = (Help(f"delete model.{name}: it is read from config.json"),)
    reader.report(f"model.{name}", Diagnostic("RLC0213", message, labels, helps))
