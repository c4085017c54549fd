"""`model.hf = PATH`: the facts of a Hugging Face directory's config.json, as if a recipe had written them.

Only config.json is read; weights and tokenizer are left to the run.  That of `model.weights` is compared and no more.
"""

from __future__ import annotations

import posixpath

from compiler.diagnostics.annotations import TYPE_CHECKING
from compiler.diagnostics.diagnostic import Diagnostic, Help, Label
from compiler.diagnostics.file_path import Path
from compiler.frontend.value import RECIPE, Entry, Leaf, Node, Table
from compiler.ir.openness import OFF
from compiler.ir.record import MISSING
from compiler.lowering.checkpoint_said import Fact, Said
from compiler.lowering.model_library import field_of, is_library, library_model, meaning
from compiler.lowering.reader import Reader

if TYPE_CHECKING:
    from compiler.lowering.checkpoint_file import Config

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

_NO_PATHS = ("off", "auto", "random")
# Where a config.json says that its weights are codes: transformers' key, and that of compressed-tensors.
_QUANTISED = ("quantization_config", "compression_config")
# Checkpoints are published with and without the layers that predict further tokens.
_MAY_DIFFER = ("num_mtp_layers",)


def with_checkpoint_facts(value: Table, reader: Reader, root: Path, *, folder: str, of: str = "model") -> Table:
    """Return the Value with [model] filled from model.hf, where that is set.

    A directory of weights without a name in model.hf fills nothing, since a plan may not depend on what happens to lie
    there; what its config.json says is held against the facts, if it has one.

    Args:
        folder: what messages call the root.
        of: the table of the model: `model`, or `teacher`.

    Reports RLC0212 (no such directory, no readable config.json, a network that the schema has no words for), RLC0213
    (a fact of the spec contradicts the checkpoint), RLC0232 (a fact of the library does) and RLC0236 (the weights are
    quantised).
    """
    model = value.entries.get(of)
    if model is None or not isinstance(model.node, Table):
        return value
    hf, weights = _path_at(model.node, "hf"), _path_at(model.node, "weights")
    if weights is not None and (hf is None or not _is_same_folder(weights, hf)):
        _compare_weights(model.node, weights, reader, root, folder, of)
    if hf is None:
        return value
    relative = reader.resolve_path(hf)
    if isinstance(relative, str):
        from compiler.lowering.checkpoint_file import read_config

        config = read_config(root / relative, _name(folder, relative), hf, reader, f"{of}.hf")
        if config is not None:
            facts = _facts(config, hf, reader, f"{of}.hf")
            if _starts_from(hf, model.node.get("weights")):
                _refuse_quantised(config, hf, reader, f"{of}.hf")
            filled = _filled(model, model.node, config, facts, reader, of)
            return value._replace(entries={**value.entries, of: filled})
    reader.broken.update(f"{of}.{name}" for name in FACTS)
    return value


def _path_at(model: Table, key: str) -> Leaf | None:
    """The path that a key of [model] holds, or None where it holds none."""
    node = model.get(key)
    is_path = isinstance(node, Leaf) and isinstance(node.value, str) and node.value not in _NO_PATHS
    return node if is_path and isinstance(node, Leaf) else None


def _starts_from(hf: Leaf, weights: Node | None) -> bool:
    """Whether training starts from the weights in model.hf."""
    return weights is None or (isinstance(weights, Leaf) and (weights.value == "auto" or _is_same_folder(weights, hf)))


def _is_same_folder(one: Leaf, other: Leaf) -> bool:
    """Whether two paths of one file are the same; those of two files are compared as they are."""
    return posixpath.normpath(str(one.value)) == posixpath.normpath(str(other.value))


def _name(folder: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(folder, relative, "config.json"))


def _compare_weights(table: Table, leaf: Leaf, reader: Reader, root: Path, folder: str, of: str) -> None:
    """Hold the facts against the config.json beside the weights; without one the run finds out."""
    relative = reader.resolve_path(leaf)
    if not isinstance(relative, str) or not _is_file(root / relative / "config.json"):
        return
    from compiler.lowering.checkpoint_file import read_config

    config = read_config(root / relative, _name(folder, relative), leaf, reader, f"{of}.weights")
    if config is None:
        return
    _refuse_quantised(config, leaf, reader, f"{of}.weights")
    comparing = _Comparing(config, reader, library_model(table), f"{of}.weights")
    for path, fact in _gaps(table, _facts(config, leaf, reader, f"{of}.weights"), comparing):
        if comparing.library is not None:  # its defaults are compared by now
            return
        name, _, key = path.partition(".")
        if key and name not in table.entries:
            comparing.compare_unsaid(name, Fact("a table", fact.key), leaf)
        else:
            comparing.compare_unsaid(path, fact, leaf)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _refuse_quantised(config: Config, leaf: Leaf, reader: Reader, path: str) -> None:
    """Training starts from numbers that a step can change; those of a quantised checkpoint are codes with scales."""
    key = next((key for key in _QUANTISED if isinstance(Said(config.said).get(key), dict)), "")
    if not key:
        return
    said = Said(config.said).table(key) or {}
    method = said.get("quant_method") or said.get("quant_algo")
    how = f" by {method}" if isinstance(method, str) else ""
    labels = (Label(leaf.span, "named here"), Label(config.span(key), "codes and scales, not weights", True))
    helps = (
        Help("name the checkpoint in bf16 or fp32 that it was made of, or cast it to one first"),
        Help("a rollout engine quantises by itself: rollout.engine.sglang.quantization, or vllm's"),
    )
    message = f"the weights of {leaf.value} are quantised{how}, and training needs them in full precision"
    reader.report(path, Diagnostic("RLC0236", message, labels, helps))


def _filled(model: Entry, table: Table, config: Config, facts: dict[str, Fact], reader: Reader, of: str) -> Entry:
    """[model] with the facts that are written nowhere else; those that are, are compared."""
    if not facts:
        reader.broken.update(f"{of}.{name}" for name in FACTS)
        return model
    comparing = _Comparing(config, reader, library_model(table), f"{of}.hf")
    entries = dict(table.entries)
    inner: dict[str, dict[str, Entry]] = {}
    for path, fact in _gaps(table, facts, comparing):
        if isinstance(fact.value, (int, float, str)):
            name, _, key = path.partition(".")
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


def _gaps(table: Table, facts: dict[str, Fact], comparing: _Comparing) -> list[tuple[str, Fact]]:
    """Compare the facts that are written somewhere, and return the others."""
    gaps: list[tuple[str, Fact]] = []
    for path, fact in facts.items():
        if "family" in comparing.told:  # the first of them: of another architecture all else differs too
            return []
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
        elif comparing.compare_default(path, fact):
            gaps.append((path, fact))
    return gaps


class _Comparing:
    """What is written about a network, against its checkpoint; each fact is told once."""

    def __init__(self, config: Config, reader: Reader, library: Leaf | None, named_by: str) -> None:
        self.config, self.reader, self.library, self.named_by = config, reader, library, named_by
        self.of = named_by.partition(".")[0]
        self.told: set[str] = set()

    def compare(self, path: str, written: Node, fact: Fact, text: str = "contradicts it") -> None:
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
        self._report(path, written, fact, text)

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
        before = len(self.told)
        self.compare_unsaid(path, fact, self.library)
        return len(self.told) == before

    def compare_unsaid(self, path: str, fact: Fact, at: Leaf) -> None:
        """Report what the schema takes for a fact that nobody writes, where the checkpoint contradicts it.

        Args:
            at: what stands for the fact: the name of the model, or of the weights.
        """
        default = field_of(path).default
        said = "off" if default is OFF else default
        if isinstance(said, (bool, int, float, str)):
            self.compare(path, Leaf(said, at.span, RECIPE), fact, f"{path} is left at {said}")

    def _is_of_library(self, written: Node) -> bool:
        return self.library is not None and (is_library(written) or written.span == self.library.span)

    def _report(self, path: str, written: Node, fact: Fact, text: str) -> None:
        self.told.add(path)
        place = Label(self.config.span(fact.key), "what the checkpoint was trained with")
        value = "off" if fact.value is OFF else fact.value
        said = written.value if isinstance(written, Leaf) else "a table"
        is_read = self.named_by.endswith(".hf")
        if self.library is not None and self._is_of_library(written):
            labels = (place, Label(written.span, f"{path} = {said} in the library", True))
            message = f"{self.of}.{path} is {value} in the checkpoint and {said} in {self.library.value}"
            rest = "" if is_read else f" and name the directory by {self.of}.hf"
            helps = (Help(f"name the model that the checkpoint is of, or leave {self.of}.name out{rest}"),)
            self.reader.report(f"{self.of}.{path}", Diagnostic("RLC0232", message, labels, helps))
            return
        labels = (place, Label(written.span, text, True))
        unset = f"{self.of}.{path}"
        why = (
            "it is read from config.json"
            if is_read
            else f"or name the directory by {self.of}.hf, which gives the facts"
        )
        helps = (Help(f"delete {unset}: {why}", unsets=(unset,)) if is_read else Help(f"write {value}, {why}"),)
        message = f"{self.of}.{path} is {value} in the checkpoint"
        self.reader.report(f"{self.of}.{path}", Diagnostic("RLC0213", message, labels, helps))


def _leaf_value(fact: Fact) -> str | int | float | bool:
    return fact.value if isinstance(fact.value, (str, int, float)) else "off"


def _facts(config: Config, leaf: Leaf, reader: Reader, named_by: str) -> dict[str, Fact]:
    from compiler.lowering.checkpoint_config import KNOWN, facts_of, family_of, unsupported
    from compiler.lowering.checkpoint_file import report_unreadable

    named = Label(leaf.span, "named here")
    said = Said(config.said)
    family = family_of(said)
    if family is None:
        message = f"the architecture of {config.source.name} is not known here"
        place = Label(config.span("model_type"), "no known architecture", True)
        report_unreadable(reader, named_by, message, (named, place), (Help(f"these are known: {', '.join(KNOWN)}"),))
        return {}
    for found in unsupported(said, family):
        place = Label(config.span(found.key), f"rlc can say: {found.known}", True)
        report_unreadable(reader, named_by, found.message, (named, place))
    return facts_of(said, family)
