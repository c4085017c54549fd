"""The command `python -m checks.engine_options [--check] FILE WHEEL`: settings of an engine, read from its package.

A spec hands settings to an engine by the engine's own names, and a misspelt one must not wait for the engine to start.
So names and types are kept as data in `targets/engines/`, and this rewrites them when a pin moves, or, with `--check`,
says what of the file differs from the package.  The package is read as text: nothing of it is imported, and neither its
help texts nor its defaults are taken over.  How settings are written on a command line, and which record of a library
holds them, is `engine_interface.py`.
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

from checks.engine_interface import choices, interface, parsed, wordless

HEADER = "[options]"
_PLAIN = {"bool": "bool", "int": "int", "float": "float", "str": "str"}
_LISTS = ("list", "List", "set", "Set", "tuple", "Tuple", "Sequence")
_OF_ENTRIES = ("str", "int", "float", "bool")


class Source(NamedTuple):
    """Where a package declares settings: classes by the files that hold them, and files whose `Literal`s they name."""

    classes: Mapping[str, tuple[str, ...]]
    literals: str = ""


SOURCES = {
    "sglang": Source({"sglang/srt/arg_groups/fields/": ()}),
    "vllm": Source(
        {
            "vllm/engine/arg_utils.py": ("EngineArgs", "AsyncEngineArgs"),
            "vllm/entrypoints/launchers/cli_args.py": ("BaseFrontendArgs", "FrontendArgs"),
        },
        literals="vllm/config/",
    ),
    "megatron": Source(
        {
            "megatron/core/model_parallel_config.py": ("ModelParallelConfig",),
            "megatron/core/transformer/transformer_config.py": ("TransformerConfig", "MLATransformerConfig"),
            "megatron/core/optimizer/optimizer_config.py": ("OptimizerConfig",),
            "megatron/core/distributed/distributed_data_parallel_config.py": ("DistributedDataParallelConfig",),
        }
    ),
}


def options(engine: str, wheel: Path) -> dict[str, str]:
    """Return the settings of an engine by name, each with what it holds, as the schema of specs writes kinds."""
    files = texts(wheel)
    if engine not in SOURCES:
        return dict(sorted(parsed(files).items()))
    source = SOURCES[engine]
    literals = dict(_literals(files, source.literals)) if source.literals else {}
    found: dict[str, str] = {}
    for place, classes in source.classes.items():
        for name in sorted(files):
            if name.startswith(place):
                found |= _declared(ast.parse(files[name]), classes, literals)
    left_out, taken = wordless(files), choices(files)
    return {name: _chosen(kind, taken.get(name, ())) for name, kind in sorted(found.items()) if name not in left_out}


def _chosen(kind: str, words: tuple[str, ...]) -> str:
    """A text of which only some are taken as a choice of those."""
    kinds = kind.split(" | ")
    if not words or "str" not in kinds:
        return kind
    literal = f"Literal[{', '.join(_quoted(word) for word in dict.fromkeys(words))}]"
    return " | ".join(literal if one == "str" else one for one in kinds)


def texts(wheel: Path) -> dict[str, str]:
    """Return the Python files of a package by name."""
    with ZipFile(wheel) as package:
        return {name: package.read(name).decode() for name in package.namelist() if name.endswith(".py")}


def rewritten(text: str, found: Mapping[str, str], further: str = "") -> str:
    """Return a file of `targets/engines/` with these settings, and what follows them; what stands above them stays."""
    above = text.partition(f"\n{HEADER}\n")[0].rstrip("\n")
    lines = [f"{name} = {kind!r}" if '"' in kind else f'{name} = "{kind}"' for name, kind in found.items()]
    return "\n".join([above, "", HEADER, *lines, *(["", further] if further else []), ""])


def _declared(
    tree: ast.Module, classes: tuple[str, ...], literals: Mapping[str, ast.expr]
) -> Iterator[tuple[str, str]]:
    for holder in tree.body:
        if isinstance(holder, ast.ClassDef) and (not classes or holder.name in classes):
            for item in holder.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    name, kind = item.target.id, " | ".join(_kinds(item.annotation, literals))
                    if kind and not name.startswith("_"):
                        yield name, kind


def _literals(files: Mapping[str, str], place: str) -> Iterator[tuple[str, ast.expr]]:
    for name, text in files.items():
        if name.startswith(place):
            for item in ast.parse(text).body:
                if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
                    yield item.targets[0].id, item.value


def _kinds(node: ast.expr, literals: Mapping[str, ast.expr]) -> list[str]:
    """What a TOML value may be for an annotation; what is no value of TOML is given as a text of JSON."""
    alternatives = list(_alternatives(node, literals))
    choices = [choice for kind in alternatives if isinstance(kind, tuple) for choice in kind]
    kinds = list(dict.fromkeys(kind for kind in alternatives if isinstance(kind, str)))
    if choices and "str" not in kinds:
        kinds.insert(0, f"Literal[{', '.join(_quoted(choice) for choice in dict.fromkeys(choices))}]")
    return kinds


def _alternatives(node: ast.expr, literals: Mapping[str, ast.expr]) -> Iterator[str | tuple[str, ...]]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        node = ast.parse(node.value, mode="eval").body
    if isinstance(node, ast.BinOp):
        yield from _alternatives(node.left, literals)
        yield from _alternatives(node.right, literals)
    elif isinstance(node, ast.Subscript):
        yield from _subscript(_name(node.value), node.slice, literals)
    elif isinstance(node, ast.Name) and node.id in literals:
        yield from _alternatives(literals[node.id], literals)
    elif _name(node) in _PLAIN:
        yield _name(node)
    elif _name(node) in _LISTS:
        yield "tuple[str, ...]"
    elif _name(node) not in ("None", "Callable", "type"):
        yield "str"


def _subscript(head: str, inner: ast.expr, literals: Mapping[str, ast.expr]) -> Iterator[str | tuple[str, ...]]:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    if head == "Literal":
        yield from _choices(parts, literals)
    elif head in ("Optional", "Union"):
        for part in parts:
            yield from _alternatives(part, literals)
    elif head in ("A", "Annotated"):
        yield from _alternatives(parts[0], literals)
    elif head in _LISTS:
        entry = next((kind for kind in _kinds(parts[0], literals) if kind in _OF_ENTRIES), "str")
        yield f"tuple[{entry}, ...]"
    elif head not in ("Callable", "type"):
        yield "str"


def _choices(parts: list[ast.expr], literals: Mapping[str, ast.expr]) -> Iterator[str | tuple[str, ...]]:
    """Texts to choose from; a spec may hold any whole number for numbers to choose from."""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield (part.value,)
        elif isinstance(part, ast.Constant) and part.value is not None:
            yield type(part.value).__name__
        elif isinstance(part, ast.Name) and part.id in literals:
            yield from _alternatives(literals[part.id], literals)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    if isinstance(node, ast.Constant):
        return str(node.value)
    return node.id if isinstance(node, ast.Name) else ""


def _quoted(text: str) -> str:
    return f'"{text}"'


def main(words: list[str]) -> int:
    """Rewrite one file of `targets/engines/` from a package, or compare them; return 1 where they differ."""
    file, wheel = (Path(word) for word in words if word != "--check")
    engine = file.name.partition("-")[0]
    found, before = options(engine, wheel), file.read_text(encoding="utf-8")
    after = rewritten(before, found, interface(engine, texts(wheel), found))
    if "--check" in words:
        sys.stdout.writelines(difflib.unified_diff(before.splitlines(True), after.splitlines(True), "file", "package"))
        return int(before != after)
    file.write_text(after, encoding="utf-8")
    print(f"{file.name}: {len(found)} settings")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
