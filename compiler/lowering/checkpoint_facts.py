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
from compiler.frontend.value import RECIPE, Entry, Leaf, Node, Table
from compiler.ir.openness import OFF
from compiler.ir.record import MISSING
from compiler.lowering.checkpoint_said import Fact, Said
from compiler.lowering.model_library import field_of, is_library, library_model, meaning
from compiler.lowering.reader import Reader

_LARGEST_CONFIG = 1 << 20

# What every network has, and no default of the schema can stand for.
FACTS = (
    "family",
    "rope_base",
    "num_layers",
    "hidden_size",
    "intermediate_size",
    "num_heads",
    "num_kv_heads",
    "head_dim",
    "vocab_size",
    "max_position_tokens",
    "norm_eps",
    "tie_embeddings",
)

# Checkpoints are published with and without the layers that predict further tokens.
_MAY_DIFFER = ("num_mtp_layers",)


def with_checkpoint_facts(value: Table, reader: Reader, root: Path, *, folder: str) -> Table:
    """Return the Value with [model] filled from model.hf, where that is set.

    Args:
        folder: what messages call the root.

    Reports RLC0212 (no such directory, no readable config.json, a network that the schema has no words for), RLC0213
    (a fact of the spec contradicts the checkpoint) and RLC0232 (a fact of the library does).
    """
    model = value.entries.get("model")
    if model is None or not isinstance(model.node, Table):
        return value
    hf = model.node.entries.get("hf")
    if hf is None or not isinstance(hf.node, Leaf) or hf.node.value == "off" or not isinstance(hf.node.value, str):
        return value
    relative = reader.resolve_path(hf.node)
    facts: dict[str, Fact] = {}
    if isinstance(relative, str):
        name = posixpath.normpath(posixpath.join(folder, relative, "config.json"))
        config = _read_config(root / relative, name, hf.node, reader)
        if config is not None:
            facts = _facts(config, hf.node, reader)
            return value._replace(entries={**value.entries, "model": _filled(model, model.node, config, facts, reader)})
    reader.broken.update(f"model.{name}" for name in FACTS)
    return value


def _filled(model: Entry, table: Table, config: _Config, facts: dict[str, Fact], reader: Reader) -> Entry:
    """[model] with the facts that are written nowhere else; those that are, are compared."""
    if not facts:
        reader.broken.update(f"model.{name}" for name in FACTS)
        return model
    comparing = _Comparing(config, reader, library_model(table))
    entries = dict(table.entries)
    inner: dict[str, dict[str, Entry]] = {}
    for path, fact in facts.items():
        name, _, key = path.partition(".")
        written = table.entries.get(name)
        if key and written is not None and not isinstance(written.node, Table):
            comparing.compare(name, written.node, Fact("a table", fact.key))
            continue
        if key and written is None and not comparing.may_have_table(name, fact):
            continue
        if key:
            written = written.node.entries.get(key) if written is not None and isinstance(written.node, Table) else None
        if written is not None:
            comparing.compare(path, written.node, fact)
        elif comparing.compare_default(path, fact) and isinstance(fact.value, (int, float, str)):
            span = config.span(fact.key)
            place = inner.setdefault(name, {}) if key else entries
            place[key or name] = Entry(span, Leaf(fact.value, span, RECIPE))
    for name, found in inner.items():
        entry = entries.get(name)
        if entry is None:
            span = next(iter(found.values())).key_span
            entries[name] = Entry(span, Table(found, span, RECIPE))
        elif isinstance(entry.node, Table):
            entries[name] = Entry(entry.key_span, entry.node._replace(entries={**entry.node.entries, **found}))
    return Entry(model.key_span, table._replace(entries=entries))


class _Comparing:
    """What is written about a network, against its checkpoint; each fact is told once."""

    def __init__(self, config: _Config, reader: Reader, library: Leaf | None) -> None:
        self.config, self.reader, self.library = config, reader, library
        self.told: set[str] = set()

    def compare(self, path: str, written: Node, fact: Fact) -> None:
        """Report a written value that the checkpoint contradicts."""
        if fact.value is None or path in self.told or (path in _MAY_DIFFER and self._is_of_library(written)):
            return
        span = self.config.span(fact.key)
        if isinstance(written, Leaf) and not isinstance(fact.value, (dict, list)):
            said, meant = meaning(path, written), meaning(path, Leaf(_leaf_value(fact), span, RECIPE))
            if said is None or said == meant:
                return
        elif isinstance(written, Table) and fact.value is not OFF:
            return
        self._report(path, written, fact)

    def may_have_table(self, name: str, fact: Fact) -> bool:
        """Report a table that a library model does not have; return whether it may have one."""
        if self.library is not None and field_of(name).default is OFF:
            self.compare(name, Leaf("off", self.library.span, RECIPE), Fact("a table", fact.key))
        return name not in self.told

    def compare_default(self, path: str, fact: Fact) -> bool:
        """Report a fact of which a library model says nothing, and so what the schema takes; return whether it may."""
        field = field_of(path)
        if self.library is None or field.default is MISSING or fact.value is None:
            return True
        default = "off" if field.default is OFF else field.default
        if isinstance(default, (bool, int, float, str)):
            before = len(self.told)
            self.compare(path, Leaf(default, self.library.span, RECIPE), fact)
            return len(self.told) == before
        return True

    def _is_of_library(self, written: Node) -> bool:
        return self.library is not None and (is_library(written) or written.span == self.library.span)

    def _report(self, path: str, written: Node, fact: Fact) -> None:
        self.told.add(path)
        place = Label(self.config.span(fact.key), "what the checkpoint was trained with")
        value = "off" if fact.value is OFF else fact.value
        said = written.value if isinstance(written, Leaf) else "a table"
        if self.library is not None and self._is_of_library(written):
            labels = (place, Label(written.span, f"{path} = {said} in the library", True))
            message = f"model.{path} is {value} in the checkpoint and {said} in {self.library.value}"
            helps = (Help("name the model that the checkpoint is of, or leave model.name out"),)
            self.reader.report(f"model.{path}", Diagnostic("RLC0232", message, labels, helps))
            return
        labels = (place, Label(written.span, "contradicts it", True))
        helps = (Help(f"delete model.{path}: it is read from config.json"),)
        message = f"model.{path} is {value} in the checkpoint"
        self.reader.report(f"model.{path}", Diagnostic("RLC0213", message, labels, helps))


def _leaf_value(fact: Fact) -> str | int | float | bool:
    return fact.value if isinstance(fact.value, (str, int, float)) else "off"


class _Config(NamedTuple):
    """A config.json: its text, and what it says."""

    source: SourceFile
    said: dict[str, object]

    def span(self, key: str) -> Span:
        """Where the value of a key stands, or the beginning of the text; that of a part about language comes first."""
        text, inner = self.source.text, self.said.get("text_config")
        start = text.find('"text_config"') if isinstance(inner, dict) and key in inner else 0
        pattern = re.compile(rf'"{re.escape(key)}"\s*:\s*([^,\n}}]+)')
        found = pattern.search(text, max(start, 0))
        return Span(self.source, *found.span(1)) if found else Span(self.source, 0, min(1, len(text)))


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
        said = json.loads(text, parse_int=_integer)
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


def _integer(text: str) -> int:
    """A number as TOML takes them.  Raises: ValueError for one of more than 64 bits."""
    number = int(text)
    if not -(2**63) <= number < 2**63:
        raise ValueError("more than 64 bits")
    return number


def _folders(directory: Path) -> list[str]:
    try:
        return [p.name for p in directory.iterdir() if p.is_dir()]
    except OSError:
        return []


def _facts(config: _Config, leaf: Leaf, reader: Reader) -> dict[str, Fact]:
    from compiler.lowering.checkpoint_config import KNOWN, facts_of, family_of, unsupported

    named = Label(leaf.span, "named here")
    said = Said(config.said)
    family = family_of(said)
    if family is None:
        message = f"the architecture of {config.source.name} is not known here"
        place = Label(config.span("model_type"), "no known architecture", True)
        _report(reader, message, (named, place), (Help(f"these are known: {', '.join(KNOWN)}"),))
        return {}
    for found in unsupported(said, family):
        place = Label(config.span(found.key), f"rlc can say: {found.known}", True)
        _report(reader, found.message, (named, place))
    return facts_of(said, family)


def _report(reader: Reader, message: str, labels: tuple[Label, ...], helps: tuple[Help, ...] = ()) -> None:
    reader.report("model.hf", Diagnostic("RLC0212", message, labels, helps))
