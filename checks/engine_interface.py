"""How a pinned engine takes its settings, read from its package: words of a command line, or records of a library.

An option of a server is written `--its-name` unless the file says otherwise; which switches have a form that turns them
off, and which fields are no options at all, is read here.  Of a library, each class that it is configured with is
listed with what it holds, and each function with the arguments that a plan may give it.  Nothing is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping

_SGLANG_FIELDS = "sglang/srt/arg_groups/fields/"
_SGLANG_PARSER = "sglang/srt/server_args.py"
_SGLANG_CHOICES = "sglang/srt/arg_groups/choices.py"
_ROUTER_PARSER = "sglang_router/router_args.py"
_RECORDS = {
    "megatron/core/transformer/transformer_config.py": ("TransformerConfig", "MLATransformerConfig"),
    "megatron/core/optimizer/optimizer_config.py": ("OptimizerConfig",),
    "megatron/core/distributed/distributed_data_parallel_config.py": ("DistributedDataParallelConfig",),
}
_BASES = {"ModelParallelConfig": "megatron/core/model_parallel_config.py"}
_EXTENDED = {"MLATransformerConfig": "TransformerConfig"}
_CALLS = {
    "GPTModel": "megatron/core/models/gpt/gpt_model.py",
    "OptimizerParamScheduler": "megatron/core/optimizer_param_scheduler.py",
    "initialize_model_parallel": "megatron/core/parallel_state.py",
}
_PLAIN = ("bool", "int", "float", "str")
_WIDTH = 100


def wordless(files: Mapping[str, str]) -> frozenset[str]:
    """Return what no command line of SGLang says: fields that its parser leaves out; nothing of other packages."""
    found: set[str] = set()
    for field, arg in _sglang_fields(files):
        word = f'"--{field.replace("_", "-")}"'
        if any(keyword.arg == "no_cli" for keyword in arg.keywords) and word not in files[_SGLANG_PARSER]:
            found.add(field)
    return frozenset(found)


def choices(files: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the words that the command line of SGLang takes for a field whose type is any text.

    Where it reads words by a function of its own, or takes several, what it compares with the choices is no text of a
    spec; and what cannot be read off the package stays open.
    """
    named: dict[str, ast.expr] = {}
    for item in ast.parse(files.get(_SGLANG_CHOICES, "")).body:
        if isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            named[item.targets[0].id] = item.value
    found: dict[str, tuple[str, ...]] = {}
    for field, arg in _sglang_fields(files):
        keywords = {keyword.arg: keyword.value for keyword in arg.keywords}
        words = _words(keywords.get("choices", ast.Constant(None)), named)
        if words and not keywords.keys() & {"type_parser", "nargs", "action"}:
            found[field] = words
    return found


def _words(node: ast.expr, named: Mapping[str, ast.expr]) -> tuple[str, ...] | None:
    """The texts of a list, of one that has a name, or of two together; None where one of them is no text."""
    if isinstance(node, (ast.List, ast.Tuple)):
        entries = tuple(entry.value for entry in node.elts if isinstance(entry, ast.Constant))
        texts = tuple(entry for entry in entries if isinstance(entry, str))
        return texts if len(texts) == len(node.elts) else None
    if isinstance(node, ast.Name) and node.id in named:
        return _words(named[node.id], named)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _words(node.left, named), _words(node.right, named)
        return None if left is None or right is None else left + right
    return None


def parsed(files: Mapping[str, str]) -> dict[str, str]:
    """Return the settings of the router, which a parser alone declares; a list for what it takes several words of.

    Its methods are shared with other programs, which put a prefix of their own in front of a name.
    """
    found: dict[str, str] = {}
    for call in ast.walk(ast.parse(files[_ROUTER_PARSER])):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "add_argument":
            name = _parsed_name(call.args[0])
            if name:
                found[name] = _parsed_kind({keyword.arg: keyword.value for keyword in call.keywords})
    return found


def _parsed_name(node: ast.expr) -> str:
    """What stands behind the two hyphens, and behind the prefix, as an attribute."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    text = "".join(str(part.value) for part in parts if isinstance(part, ast.Constant))
    return text.removeprefix("--").replace("-", "_") if text.startswith("--") else ""


def _parsed_kind(keywords: Mapping[str | None, ast.expr]) -> str:
    action = keywords.get("action")
    named = keywords.get("type")
    kind = named.id if isinstance(named, ast.Name) and named.id in _PLAIN else "str"
    if isinstance(action, ast.Constant) and action.value == "store_true":
        return "bool"
    if "nargs" in keywords or isinstance(action, ast.Constant):
        return f"tuple[{kind}, ...]"
    words = _words(keywords.get("choices", ast.Constant(None)), {})
    quoted = ", ".join(f'"{word}"' for word in words or ())
    return f"Literal[{quoted}]" if quoted else kind


def interface(engine: str, files: Mapping[str, str], options: Mapping[str, str]) -> str:
    """Return the tables that stand below the settings of an engine; empty where there is nothing to say."""
    if engine == "sglang":
        return "\n".join(_sglang_words(files, options))
    if engine == "vllm":
        return '[argv]\nnegatable = "all"'
    if engine == "sglang_router":
        return "[argv]\nnegatable = []"
    return "\n".join([*_records(files), *_calls(files)])


def _sglang_words(files: Mapping[str, str], options: Mapping[str, str]) -> Iterator[str]:
    """Switches that can be turned off, and options with a word of another name."""
    renamed: dict[str, str] = {}
    negatable: list[str] = []
    for field, arg in _sglang_fields(files):
        keywords = {keyword.arg: keyword.value for keyword in arg.keywords}
        given = keywords.get("cli_name")
        if isinstance(given, ast.Constant) and str(given.value) != f"--{field.replace('_', '-')}":
            renamed[field] = str(given.value)
        if "BooleanOptionalAction" in ast.dump(keywords.get("action", ast.Constant(None))):
            negatable.append(field)
    yield "[argv]"
    yield from _list("negatable", negatable)
    yield ""
    yield "[argv.renamed]"
    yield from (f'{field} = "{word}"' for field, word in sorted(renamed.items()) if field in options)


def _sglang_fields(files: Mapping[str, str]) -> Iterator[tuple[str, ast.Call]]:
    for name in sorted(files):
        if name.startswith(_SGLANG_FIELDS):
            yield from _annotated(files[name])


def _annotated(text: str) -> Iterator[tuple[str, ast.Call]]:
    for holder in ast.parse(text).body:
        for item in holder.body if isinstance(holder, ast.ClassDef) else ():
            if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                for call in ast.walk(item.annotation):
                    if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "Arg":
                        yield item.target.id, call


def _records(files: Mapping[str, str]) -> Iterator[str]:
    """Each class with everything that it holds, its bases' included; a class of `_EXTENDED` with what it adds."""
    yield "[records]"
    places = {name: place for place, names in _RECORDS.items() for name in names} | _BASES
    for names in _RECORDS.values():
        for name in names:
            base = _held(_EXTENDED[name], places, files) if name in _EXTENDED else set()
            yield from _list(name, sorted(key for key in _held(name, places, files) - base if key[0] != "_"))
    yield ""
    yield "[extends]"
    yield from (f'{name} = "{base}"' for name, base in _EXTENDED.items())


def _held(name: str, places: Mapping[str, str], files: Mapping[str, str]) -> set[str]:
    found: set[str] = set()
    for holder in ast.parse(files[places[name]]).body:
        if isinstance(holder, ast.ClassDef) and holder.name == name:
            for item in holder.body:
                if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
                    found.add(item.target.id)
            for base in holder.bases:
                if isinstance(base, ast.Name) and base.id in places:
                    found |= _held(base.id, places, files)
    return found


def _calls(files: Mapping[str, str]) -> Iterator[str]:
    """Each function with the arguments that hold numbers, truth values and texts."""
    for name, place in _CALLS.items():
        yield ""
        yield f"[calls.{name}]"
        for argument in _arguments(ast.parse(files[place]), name):
            kind = _plain(argument.annotation)
            if kind:
                yield f"{argument.arg} = {kind}"


def _arguments(tree: ast.Module, name: str) -> list[ast.arg]:
    for item in tree.body:
        if isinstance(item, ast.FunctionDef) and item.name == name:
            return item.args.args
        if isinstance(item, ast.ClassDef) and item.name == name:
            return next(m.args.args[1:] for m in item.body if isinstance(m, ast.FunctionDef) and m.name == "__init__")
    raise KeyError(name)


def _plain(annotation: ast.expr | None) -> str:
    """The kind of an argument in the notation of the schema, quoted; empty for what only code can give."""
    if isinstance(annotation, ast.Subscript) and isinstance(annotation.value, ast.Name):
        if annotation.value.id == "Optional":
            return _plain(annotation.slice)
        if annotation.value.id == "Literal" and isinstance(annotation.slice, ast.Tuple):
            choices = ", ".join(f'"{c.value}"' for c in annotation.slice.elts if isinstance(c, ast.Constant))
            return f"'Literal[{choices}]'"
    is_plain = isinstance(annotation, ast.Name) and annotation.id in _PLAIN
    return f'"{annotation.id}"' if is_plain and isinstance(annotation, ast.Name) else ""


def _list(name: str, entries: list[str]) -> Iterator[str]:
    yield f"{name} = ["
    line = "   "
    for entry in entries:
        if len(line) + len(entry) + 4 > _WIDTH:
            yield line
            line = "   "
        line += f' "{entry}",'
    if line.strip():
        yield line
    yield "]"
