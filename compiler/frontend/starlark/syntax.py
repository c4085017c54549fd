"""Starlark text to trees.

A node is a tuple `(rule, start, end, *children)`; `start` and `end` are offsets in the text of the file.  Trees are
plain data, so that they can be kept on disk.  In the list below, *name* is a node `name`, *expr* any expression,
`|None` what may be missing, and `...` any number of the part before it.  Text in quotes is a string, not a node.

Statements:
    file        statement ...
    suite       statement ...
    expr_stmt   expr
    assign      target, expr
    augment     "op", target, expr            op without its `=`: `+`, `//` ...
    return      expr|None
    break, continue, pass
    load        string, bind ...
    bind        name, string                  the name here, and the name in the file loaded
    def         name, parameters, suite
    if          expr, suite, expr, suite ..., suite|None       condition and body in turn; last what `else` says
    for         target, expr, suite
    parameters  param|star_param|kwargs_param ...
    param       name, expr|None               with its default
    star_param  name|None                     `*args`, or a bare `*`
    kwargs_param  name

Targets are expressions: name, index, dot, and tuples and lists of targets; the resolver refuses all others.

Expressions:
    name        "x"
    int, float, string, bytes                 the value itself
    tuple, list expr ...
    dict        entry ...
    entry       expr, expr
    list_comp   expr, for_clause, for_clause|if_clause ...
    dict_comp   entry, for_clause, for_clause|if_clause ...
    for_clause  target, expr
    if_clause   expr
    unary       "op", expr                    + - ~ not
    binary      "op", expr, expr              + - * / // % & | ^ << >>
    compare     "op", expr, expr              == != < > <= >= in, not in
    and, or     expr, expr
    conditional expr, expr, expr              the value if so, the condition, the value otherwise
    lambda      parameters, expr
    call        expr, argument ...            the function, then expr|keyword|star_arg|kwargs_arg
    keyword     name, expr
    star_arg, kwargs_arg  expr
    dot         expr, name
    index       expr, expr
    slice       expr, expr|None, expr|None, expr|None

Brackets around an expression leave no node; the span of what they hold includes them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.span import SourceFile
from compiler.frontend.starlark import tree_cache
from compiler.frontend.starlark.nodes import MAX_DEPTH, Node, make_node, node_below
from compiler.frontend.starlark.tables import END, EXPRESSION, FILE, Tables, read_tables
from compiler.frontend.starlark.tokens import Token, TokenError, tokenize, tokenize_expression


class UnexpectedTokenError(Exception):
    """A token that no rule allows where it stands; `expected` are the kinds that would do."""

    def __init__(self, index: int, expected: frozenset[str]) -> None:
        super().__init__(index)
        self.index = index
        self.expected = expected


def parse_file(source: SourceFile, cache: Path | None) -> Node:
    """Return the tree of a file, node `file`.  Raises: SpecError with one of RLC0120 to RLC0130."""
    key = tree_cache.key_of(FILE, source.text)
    return tree_cache.read(cache, key) or _parse(source, FILE, (0, len(source.text)), key=key, cache=cache)


def parse_expression(source: SourceFile, start: int, end: int, cache: Path | None) -> Node:
    """Return the tree of the expression between two offsets of a text.  Raises: SpecError as `parse_file` does."""
    # Spans are offsets in the whole file, so where an expression stands is part of what its tree is made of.
    key = tree_cache.key_of(EXPRESSION, str(start), source.text[start:end])
    return tree_cache.read(cache, key) or _parse(source, EXPRESSION, (start, end), key=key, cache=cache)


def _parse(source: SourceFile, start: str, between: tuple[int, int], *, key: str, cache: Path | None) -> Node:
    tokens: list[Token] = []
    try:
        if start == FILE:
            tokens, _ = tokenize(source.text)
        else:
            tokens = tokenize_expression(source.text, *between)
        at = tokens[-1][2] if tokens else between[0]
        tokens.append((END, at, at, None))
        tree = run_tables(read_tables(cache), tokens, start)
        deep = node_below(tree, MAX_DEPTH)
        if deep is not None:
            raise TokenError("deep", deep[1], deep[1] + 1)
    except (TokenError, UnexpectedTokenError) as error:
        # People's mistakes are explained only when one was made.
        from compiler.frontend.starlark import mistakes

        raise SpecError(mistakes.explain(source, error, tokens, between)) from None
    tree_cache.write(cache, key, tree)
    return tree


def run_tables(tables: Tables, tokens: list[Token], start: str) -> Node:
    """Return the tree of tokens that end in END.  Raises: UnexpectedTokenError."""
    actions, gotos, rules = tables.actions, tables.gotos, tables.rules
    last = tables.ends[start]
    states = [tables.starts[start]]
    values: list[Any] = [None]
    starts = [0]
    ends = [0]
    through: dict[tuple[int, int, str], int] = {}
    for index, (kind, begin, end, value) in enumerate(tokens):
        while True:
            action = actions[states[-1]].get(kind)
            if action is None:
                raise UnexpectedTokenError(index, frozenset(actions[states[-1]]))
            if action >= 0:
                states.append(action)
                values.append(kind if value is None else value)
                starts.append(begin)
                ends.append(end)
                break
            origin, size, name, kept = rules[~action]
            if size == 1 and name == ".":
                # An operand goes through a dozen levels of operators; where they end depends on these three only.
                below = states[-2]
                way = (below, states[-1], kind)
                states[-1] = through.get(way) or through.setdefault(way, _through(tables, *way))
                continue
            if size:
                first, until = starts[-size], ends[-1]
                parts = values[-size:]
                del states[-size:], values[-size:], starts[-size:], ends[-size:]
            else:
                first = until = begin
                parts: list[Any] = []
            made: list[Any] = []
            for place, is_list in kept:
                if not is_list:
                    made.append(parts[place])
                elif made:
                    made += parts[place]
                else:
                    made = parts[place]
            values.append(made if not name else made[0] if name == "." else make_node(name, first, until, made))
            starts.append(first)
            ends.append(until)
            states.append(gotos[states[-1]][origin])
            if kind == END and states[-1] == last:
                return values[-1]
    raise AssertionError("END is always the last token")


def _through(tables: Tables, below: int, state: int, kind: str) -> int:
    """The state after all rules that put one part in the place of another, before a token."""
    while True:
        action = tables.actions[state].get(kind, 0)
        if action >= 0:
            return state
        origin, size, name, _ = tables.rules[~action]
        if size != 1 or name != ".":
            return state
        state = tables.gotos[below][origin]
