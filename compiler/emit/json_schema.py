"""The JSON Schema of a TOML spec, for editors: completion, hover texts, and marks under misspelt keys.

Derived from the schema records and from nothing else.  Nothing is required of a table, since a recipe may fill it;
elements of lists are complete, since lists are replaced whole.  What only a rule can say (the batch identity, keys that
this algorithm does not read) is left to `rlc check`.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from compiler.emit._library import labels
from compiler.ir.catalogue import Catalogue
from compiler.ir.data import Until
from compiler.ir.json_text import Json
from compiler.ir.kinds import Atom
from compiler.ir.openness import OFF
from compiler.ir.record import MISSING, Field
from compiler.ir.spec_tables import ROOT, STAGE, Key, SpecTable, spec_tables

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NUMBER = r"[0-9]+(_[0-9]+)*(\.[0-9]+)?"
_PATTERNS = {
    "Tokens": rf"^{_NUMBER}(Ki|Mi|Gi)?$",
    "Bytes": rf"^{_NUMBER}([kKMGT]B|[KMGT]iB|B)$",
    "Seconds": r"^([0-9]+(\.[0-9]+)?(d|h|ms|m|s))+$",
}
_TYPES = {
    "int": "integer",
    "Tokens": "integer",
    "Bytes": "integer",
    "float": "number",
    "Seconds": "number",
    "bool": "boolean",
    "str": "string",
    "SpecPath": "string",
}
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_REFERENCE: Mapping[str, Json] = MappingProxyType(
    {
        "type": "string",
        "pattern": r"^\$\{[\s\S]+\}$",
        "description": "The value of an expression over resolved fields.",
    }
)
_COMPARISON = r"^\s*[A-Za-z_][\w.@-]*\s*(>=|<=|>|<)\s*[-+]?[0-9.][0-9_.eE+-]*\s*$"

_Object = dict[str, Json]
_Names = Mapping[str, _Object]
_UNSET: Mapping[str, Json] = MappingProxyType(
    {"const": "off", "description": "The default of the schema, whatever a recipe sets."}
)


def json_schema(catalogue: Catalogue) -> _Object:
    """Return the schema (draft 2020-12) of a spec, of a recipe, and of a model file."""
    names = _closed_names(catalogue)
    top, stage = spec_tables(catalogue, of_stage=False), spec_tables(catalogue, of_stage=True)
    root = _properties(top[ROOT], top, names)
    own = _properties(stage[ROOT], stage, names)
    stage_only = stage["run"] != top["run"]
    if stage_only:
        own["run"] = {"$ref": "#/$defs/stages.run"}
    use = _use(catalogue)
    item: _Object = {
        "type": "object",
        "description": "One training of the row; its tables override the shared ones.",
        "properties": {"use": use, **own},
        "required": ["name"],
        "additionalProperties": False,
    }
    root[STAGE] = {"type": "array", "minItems": 1, "items": item, "description": "The trainings, in order."}
    tables: _Object = {path: _table(table, top, names) for path, table in top.items() if path != ROOT}
    if stage_only:
        tables["stages.run"] = _table(stage["run"], stage, names)
    return {
        "$schema": DIALECT,
        "title": "An experiment of rlc",
        "type": "object",
        "properties": {"use": use, "require": _require(), **root},
        "additionalProperties": False,
        "$defs": {**dict(sorted(tables.items())), "reference": dict(_REFERENCE), "unset": dict(_UNSET)},
    }


def _table(table: SpecTable, tables: Mapping[str, SpecTable], names: _Names) -> _Object:
    schema: _Object = {
        "type": "object",
        "title": table.title,
        "description": _sentence(table.doc),
        "properties": _properties(table, tables, names),
        "additionalProperties": False,
    }
    required: list[Json] = [key.name for key in table.keys if key.field.is_required and not key.field.kind.records]
    if table.is_list and required:
        schema["required"] = required
    return schema


def _properties(table: SpecTable, tables: Mapping[str, SpecTable], names: _Names) -> _Object:
    return {key.name: _key(key, f"{table.path}.{key.name}".lstrip("."), tables, names) for key in table.keys}


def _key(key: Key, path: str, tables: Mapping[str, SpecTable], names: _Names) -> Json:
    ways: list[_Object] = []
    for field in key.declared:
        for way in _alternatives(field, path, tables):
            if way not in ways:
                ways.append(way)
    if path in names and "enum" in names[path]:
        ways = [names[path], *(way for way in ways if way.get("type") != "string")]
    schema = dict(ways[0]) if len(ways) == 1 else _either(ways)
    if key.is_of_an_engine:  # there are hundreds, and nothing to say of one but its type
        return schema
    if path in names and "examples" in names[path]:
        schema["examples"] = names[path]["examples"]
    schema["description"] = _description(key)
    default = _default(key.field)
    if default is not None:
        schema["default"] = default
    return schema


def _alternatives(field: Field, path: str, tables: Mapping[str, SpecTable]) -> Iterable[_Object]:
    if path in tables and not tables[path].is_list:
        yield {"$ref": f"#/$defs/{path}"}
    else:
        for atom in field.kind.values:
            yield from _atom(atom, field, path)
    takes_any_text = any(atom.name == "str" for atom in field.kind.values)
    if not takes_any_text and all(_may_refer(atom) for atom in field.kind.values):
        yield {"$ref": "#/$defs/reference"}
    if field.kind.may_be_auto:
        yield {"const": "auto"}
    if field.kind.may_be_off:
        yield {"const": "off"}
    elif field.default is not MISSING and not takes_any_text:
        yield {"$ref": "#/$defs/unset"}


def _atom(atom: Atom, field: Field, path: str) -> Iterable[_Object]:
    if atom.name == "literal":
        yield {"enum": list(atom.choices)}
    elif atom.name == "list":
        item = atom.item
        if item is not None and item.record is not None:
            yield {"type": "array", "minItems": 1, "items": {"$ref": f"#/$defs/{path}"}}
        elif item is not None:
            one: _Object = {"enum": list(item.choices)} if item.choices else {"type": _TYPES[item.name]}
            yield {"type": "array", "items": one}
    elif atom.record is Until:
        yield {"type": "string", "pattern": _COMPARISON}
    else:
        plain: _Object = {"type": _TYPES[atom.name]}
        plain |= {_BOUNDS[op]: bound for op, bound in field.bounds}
        yield plain
        if atom.name in _PATTERNS:
            yield {"type": "string", "pattern": _PATTERNS[atom.name]}


def _either(ways: list[_Object]) -> _Object:
    """Alternatives; words that stand alone are one enumeration, which editors offer as completions."""
    words: list[Json] = []
    others: list[Json] = []
    for way in ways:
        choices = way.get("enum")
        if "const" in way:
            words.append(way["const"])
        elif isinstance(choices, list):
            words += choices
        else:
            others.append(way)
    if words:
        others.append({"enum": words})
    only = others[0]
    return dict(only) if len(others) == 1 and isinstance(only, dict) else {"anyOf": others}


def _description(key: Key) -> str:
    field = key.field
    parts = [field.doc]
    if field.unit:
        parts.append(f"In {field.unit}.")
    if field.read_if is not None:
        sibling, values = field.read_if
        parts.append(f"Read only where {sibling} is {' or '.join(str(value).lower() for value in values)}.")
    if key.readers:
        parts.append(f"Read by {', '.join(key.readers)}.")
    if field.assumed is not MISSING:
        parts.append(f"Derived; taken as {field.assumed} where several fields are open.")
    elif field.kind.may_be_auto:
        parts.append("Derived unless set.")
    elif field.is_required and not field.kind.records:
        parts.append("Required.")
    return "  ".join(parts)


def _default(field: Field) -> Json:
    if field.default is MISSING or field.kind.records:
        return "auto" if field.kind.may_be_auto else None
    if field.default is OFF:
        return "off"
    if isinstance(field.default, tuple):
        return list(field.default)
    return field.default if isinstance(field.default, (bool, int, float, str)) else None


def _closed_names(catalogue: Catalogue) -> _Names:
    """What a field may name: an enumeration where nothing else exists, examples where a person may bring their own."""
    targets = [catalogue.load_target(name) for name in catalogue.targets]
    models = labels(catalogue.stdlib / "models")
    return {
        "algo.name": {"enum": list(catalogue.algorithms)},
        "cluster.target": {"enum": list(catalogue.targets)},
        "rollout.engine.name": {"enum": [*sorted({name for target in targets for name in target.rollout_engines})]},
        "train.engine.name": {"enum": [*sorted({name for target in targets for name in target.train_engines})]},
        "reward.name": {"examples": [*catalogue.rewards, "rewards.py:judge"]},
        "reward.terms.name": {"examples": [*catalogue.rewards, "rewards.py:judge"]},
        "environment.name": {"examples": [*catalogue.environments, "play.py:begin"]},
        "environment.tools.name": {"examples": [*catalogue.tools, "tools.py:search"]},
        "environment.parser": {"enum": [*catalogue.tool_parsers, "auto", "off"]},
        "rollout.filter.name": {"examples": [*catalogue.filters, "filters.py:keeps"]},
        "rollout.buffer.selector": {"examples": [*catalogue.selectors, "selectors.py:select"]},
        "algo.advantages": {"examples": ["advantages.py:advantages"]},
        "loss.reducer": {"examples": ["reducer.py:reduced"]},
        "loss.mismatch.function": {"examples": ["correction.py:weights"]},
        "model.name": {"examples": list(models)},
    }


def _use(catalogue: Catalogue) -> Json:
    recipes: list[Json] = [*labels(catalogue.stdlib / "recipes"), posixpath.join("..", "base.toml")]
    return {
        "type": "array",
        "items": {
            "type": "string",
            "pattern": r"^(@[a-z][a-z0-9_-]*)?//recipes:[A-Za-z0-9_-]+$|\.(toml|star)$",
            "examples": recipes,
        },
        "description": "Recipes and files that fill what is not written here; the nearer one wins.",
    }


def _may_refer(atom: Atom) -> bool:
    """Whether an alternative of a field can be given by an expression: a table cannot, and a path is a text already."""
    return atom.record is None and (atom.item is None or atom.item.record is None) and atom.name != "SpecPath"


def _require() -> Json:
    text: Json = {"type": "string", "minLength": 1}
    return {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"that": text, "why": text},
            "required": ["that", "why"],
            "additionalProperties": False,
        },
        "description": "What must hold of the resolved experiment, each with the reason; an equation is solved.",
    }


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
