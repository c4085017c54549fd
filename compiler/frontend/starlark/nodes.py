"""The nodes of a tree, made from the parts that a rule of the grammar keeps.  `syntax.py` lists them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# Levels of brackets, of blocks, and of the tree.
MAX_DEPTH = 128

# (rule, start, end, *children).  What children a node has depends on its rule, which no type says: the list in
# `syntax.py` does.
Node = tuple[Any, ...]


def make_node(rule: str, start: int, end: int, parts: list[Any]) -> Node:
    """Return the node of a rule; a few are laid out differently from their parts."""
    arrange = _ARRANGE.get(rule)
    if arrange is None:
        return (rule, start, end, *parts)
    return arrange(rule, start, end, parts)


def node_below(tree: Node, depth: int) -> Node | None:
    """Return the first node that lies deeper than `depth` levels below a tree."""
    level = [tree]
    for _ in range(depth):
        level = [part for node in level for part in node if type(part) is tuple]
        if not level:
            return None
    return level[0]


def _file(_: str, start: int, end: int, parts: list[Any]) -> Node:
    return ("file", start, end, *parts)


def _suite(rule: str, _start: int, _end: int, parts: list[Any]) -> Node:
    return (rule, parts[0][1], parts[-1][2], *parts)


def _block(rule: str, start: int, _: int, parts: list[Any]) -> Node:
    """A statement that ends with its last suite."""
    return (rule, start, parts[-1][2], *parts)


def _if(_: str, start: int, __: int, parts: list[Any]) -> Node:
    return ("if", start, parts[-1][2], *parts, None)


def _if_else(_: str, start: int, __: int, parts: list[Any]) -> Node:
    return ("if", start, parts[-1][2], *parts)


def _only(_: str, __: int, ___: int, parts: list[Any]) -> Node:
    return parts[0]


def _paren(_: str, start: int, end: int, parts: list[Any]) -> Node:
    inner = parts[0]
    return (inner[0], start, end, *inner[3:])


def _or_none(rule: str, start: int, end: int, parts: list[Any]) -> Node:
    return (rule, start, end, parts[0] if parts else None)


def _param(rule: str, start: int, end: int, parts: list[Any]) -> Node:
    return (rule, start, end, parts[0], parts[1] if len(parts) > 1 else None)


def _bind(rule: str, start: int, end: int, parts: list[Any]) -> Node:
    original = parts[-1]
    local = parts[0] if len(parts) > 1 else ("name", *original[1:])
    return (rule, start, end, local, original)


def _between(rule: str, start: int, end: int, parts: list[Any]) -> Node:
    """An operator between two operands; `not in` is two words."""
    return (rule, start, end, " ".join(parts[1:-1]), parts[0], parts[-1])


def _augment(rule: str, start: int, end: int, parts: list[Any]) -> Node:
    return (rule, start, end, parts[1][:-1], parts[0], parts[2])


def _slice(rule: str, start: int, end: int, parts: list[Any]) -> Node:
    bounds = {part[0]: part[3] for part in parts[1:]}
    return (rule, start, end, parts[0], *(bounds.get(name) for name in ("low", "high", "step")))


_ARRANGE: dict[str, Callable[[str, int, int, list[Any]], Node]] = {
    "file_input": _file,
    "expression_input": _only,
    "suite": _suite,
    "def": _block,
    "for": _block,
    "if": _if,
    "if_else": _if_else,
    "paren": _paren,
    "return": _or_none,
    "star_param": _or_none,
    "param": _param,
    "bind": _bind,
    "binary": _between,
    "compare": _between,
    "augment": _augment,
    "slice": _slice,
}
