"""The grammar as tables: what to do in each state at each token.

lark reads `grammar.lark` and finds the states.  Running them takes thirty lines (see `syntax.py`), which build the
nodes directly, know every span, and need no lark once the tables lie in the cache: making them takes a fifth of a
second, reading them a millisecond.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.frontend.starlark import tree_cache

if TYPE_CHECKING:
    from lark.grammar import Rule, Symbol

GRAMMAR = Path(__file__).with_name("grammar.lark")
FILE, EXPRESSION = "file_input", "expression_input"
END = "$END"

_LAYOUT = ("NEWLINE", "INDENT", "DEDENT")


class Reduction(NamedTuple):
    """A rule as the parser applies it.

    `origin` and `size` are what it replaces how many parts with; `name` is the node that it makes, empty where its
    parts go to the rule around it, `.` where its only part stands for it; `kept` are the places of the parts that
    stay, with whether a part is itself a list of parts.
    """

    origin: str
    size: int
    name: str
    kept: tuple[tuple[int, bool], ...]


class Tables(NamedTuple):
    """`actions[state][kind]` is the state to go to, or `~rule`; `gotos[state][origin]` is where a rule leads to."""

    actions: list[dict[str, int]]
    gotos: list[dict[str, int]]
    rules: list[Reduction]
    starts: dict[str, int]
    ends: dict[str, int]


@lru_cache(maxsize=8)
def read_tables(folder: Path | None) -> Tables:
    """Return the tables of the grammar, from the cache if they lie there."""
    key = tree_cache.key_of("tables")
    found = tree_cache.read(folder, key)
    if found is not None:
        actions, gotos, rules, starts, ends = found
        return Tables(actions, gotos, [Reduction(*rule) for rule in rules], starts, ends)
    made = _make_tables()
    tree_cache.write(folder, key, (*made[:2], [tuple(rule) for rule in made.rules], *made[3:]))
    return made


@cache
def _make_tables() -> Tables:
    # Only the first parse of all needs lark.
    from lark import Lark

    grammar = GRAMMAR.read_text(encoding="utf-8")
    lark = Lark(grammar, parser="lalr", lexer="basic", start=[FILE, EXPRESSION], maybe_placeholders=False)
    # lark's names are tokens of its own, which are strings only by inheritance.
    kinds = {str(t.name): str(t.pattern.value) for t in lark.terminals}
    origins = {rule.origin.name for rule in lark.rules}
    table = lark.parse_interactive("", start=FILE).parser_state.parse_conf.parse_table
    rules = {rule: number for number, rule in enumerate(lark.rules)}
    actions: list[dict[str, int]] = []
    gotos: list[dict[str, int]] = []
    for state in range(len(table.states)):
        acts: dict[str, int] = {}
        leads: dict[str, int] = {}
        for symbol, (action, to) in table.states[state].items():
            if symbol in origins:
                leads[str(symbol)] = to
            else:
                acts[kinds.get(symbol, str(symbol))] = to if action.name == "Shift" else ~rules[to]
        actions.append(acts)
        gotos.append(leads)
    reductions = [_reduction(rule) for rule in lark.rules]
    return Tables(actions, gotos, reductions, _by_name(table.start_states), _by_name(table.end_states))


def _by_name(states: dict[str, int]) -> dict[str, int]:
    return {str(name): state for name, state in states.items()}


def _reduction(rule: Rule) -> Reduction:
    origin = str(rule.origin.name)
    kept = tuple(
        (i, not symbol.is_term and symbol.name.startswith("_"))
        for i, symbol in enumerate(rule.expansion)
        if _is_kept(symbol)
    )
    if rule.alias is None and origin.startswith("_"):
        name = ""
    elif rule.alias is None and rule.options.expand1 and len(kept) == 1:
        name = "."
    else:
        name = str(rule.alias or origin)
    return Reduction(origin, len(rule.expansion), name, kept)


def _is_kept(symbol: Symbol) -> bool:
    return symbol.name not in _LAYOUT and not getattr(symbol, "filter_out", False)
