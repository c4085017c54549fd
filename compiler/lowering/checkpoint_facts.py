"""`model.hf = PATH`: the facts of a Hugging Face directory's config.json, as if a recipe had written them.

Only config.json is read; weights and tokenizer are left to the run.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.nearest import nearest_names
from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.value import RECIPE, Entry, Leaf, Table
from compiler.lowering.reader import Reader

_FAMILIES = {"qwen3": "qwen3"}
_FACTS = {
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
_LARGEST_CONFIG = 1 << 20


def with_checkpoint_facts(value: Table, reader: Reader, root: Path) -> Table:
    """Return the Value with [model] filled from model.hf, where that is set.

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
    if not isinstance(relative, str):
        return value
    source, config = _read_config(root / relative, relative, hf.node, reader)
    if source is None:
        return value
    facts = _facts(config, source, hf.node, reader)
    entries = dict(model.node.entries)
    for name, entry in facts.items():
        written = entries.get(name)
        if written is None:
            entries[name] = entry
        elif isinstance(written.node, Leaf) and isinstance(entry.node, Leaf) and written.node.value != entry.node.value:
            _report_contradiction(name, written.node, entry.node, reader)
    table = model.node._replace(entries=entries)
    return value._replace(entries={**value.entries, "model": Entry(model.key_span, table)})


def _read_config(
    directory: Path, shown: str, leaf: Leaf, reader: Reader
) -> tuple[SourceFile | None, dict[str, object]]:
    if not directory.is_dir():
        near = nearest_names(directory.name, _folders(directory.parent))
        helps = tuple(Help(f"did you mean {n}?") for n in near)
        _report(reader, leaf, f"there is no model directory {shown}", helps)
        return None, {}
    path = directory / "config.json"
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise ValueError("it is larger than 1 MiB")
        text = path.read_text(encoding="utf-8")
        config = json.loads(text)
    except FileNotFoundError:
        _report(reader, leaf, f"{shown} has no config.json", (Help("a Hugging Face model directory has one"),))
        return None, {}
    except (OSError, ValueError, RecursionError) as fault:
        _report(reader, leaf, f"{shown}/config.json cannot be read: {fault}", ())
        return None, {}
    if not isinstance(config, dict):
        _report(reader, leaf, f"{shown}/config.json is not an object", ())
        return None, {}
    return SourceFile(f"{shown}/config.json", text), config


def _folders(directory: Path) -> list[str]:
    try:
        return [p.name for p in directory.iterdir() if p.is_dir()]
    except OSError:
        return []


def _facts(config: dict[str, object], source: SourceFile, leaf: Leaf, reader: Reader) -> dict[str, Entry]:
    family = _FAMILIES.get(str(config.get("model_type")))
    if family is None:
        known = ", ".join(sorted(_FAMILIES))
        message = f"nothing here knows the architecture {config.get('model_type')!r}"
        _report(reader, leaf, message, (Help(f"these are known: {known}"),))
        return {}
    rope = config.get("rope_parameters")
    rope_base = rope.get("rope_theta") if isinstance(rope, dict) else config.get("rope_theta")
    kind = rope.get("rope_type", "default") if isinstance(rope, dict) else "default"
    if kind != "default" or config.get("rope_scaling"):
        _report(reader, leaf, "scaled rotary positions are not known here", (Help("remove rope_scaling"),))
    found: dict[str, object] = {"family": family, "rope_base": rope_base}
    keys = {"family": "model_type", "rope_base": "rope_theta", **_FACTS}
    for name, key in _FACTS.items():
        found[name] = config.get(key)
    heads, hidden = config.get("num_attention_heads"), config.get("hidden_size")
    if found["head_dim"] is None and isinstance(heads, int) and isinstance(hidden, int) and heads > 0:
        found["head_dim"] = hidden // heads
    entries: dict[str, Entry] = {}
    for name, value in found.items():
        if isinstance(value, (int, float, str)):
            span = _span(source, keys[name])
            entries[name] = Entry(span, Leaf(value, span, RECIPE))
    return entries


def _span(source: SourceFile, key: str) -> Span:
    found = re.search(rf'"{re.escape(key)}"\s*:\s*([^,\n}}]+)', source.text)
    return Span(source, *found.span(1)) if found else Span(source, 0, min(1, len(source.text)))


def _report(reader: Reader, leaf: Leaf, message: str, helps: tuple[Help, ...]) -> None:
    reader.report("model.hf", Diagnostic("RLC0212", message, (Label(leaf.span, "named here", True),), helps))


def _report_contradiction(name: str, written: Leaf, fact: Leaf, reader: Reader) -> None:
    labels = (Label(fact.span, "what the checkpoint was trained with"), Label(written.span, "contradicts it", True))
    message = f"model.{name} is {fact.value} in the checkpoint"
    helps = (Help(f"delete model.{name}: it is read from config.json"),)
    reader.report(f"model.{name}", Diagnostic("RLC0213", message, labels, helps))
