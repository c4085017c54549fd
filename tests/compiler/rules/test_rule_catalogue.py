"""docs/rule_catalogue.md against the rules that there are: every statement once, with the codes that hold it."""

from __future__ import annotations

import re

from checks.tree import ROOT
from compiler.explain import all_pages
from compiler.rules.catalogue import load_rules

TEXT = (ROOT / "docs" / "rule_catalogue.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| ([A-Z]+-\d\d) \| (.+) \| (.+) \|$", TEXT, re.MULTILINE)
STATES = {id_: state for id_, _, state in ROWS}

# How many statements there are of each kind.
SIZES = {
    "BATCH": 10,
    "TOK": 5,
    "PAR": 4,
    "PLACE": 8,
    "MEM": 7,
    "SYNC": 5,
    "LIVE": 6,
    "BUF": 5,
    "EPI": 4,
    "CFG": 8,
    "ALGO": 9,
    "DISTILL": 3,
    "CKPT": 3,
    "ENV": 7,
    "REWARD": 6,
    "EVAL": 5,
    "DBG": 2,
}

# Codes of statements that are checked where something else is: as text is lowered, by a rule with another id, or where
# `rlc check --data` reads the files.
ELSEWHERE = {
    "BATCH-04": {"RLC0672"},
    "CFG-07": {"RLC0213", "RLC0236"},
    "CFG-08": {"RLC0673"},
    "CKPT-03": {"RLC0208", "RLC0377"},
    "ENV-02": {"RLC0512"},
}


def test_every_statement_stands_in_the_list_once_and_in_order() -> None:
    assert [id_ for id_, _, _ in ROWS] == [f"{kind}-{n:02}" for kind, size in SIZES.items() for n in range(1, size + 1)]


def test_the_codes_of_a_statement_are_those_of_the_rules_with_its_id() -> None:
    listed = {id_: set(re.findall(r"RLC\d{4}", state)) for id_, state in STATES.items()}
    rules: dict[str, set[str]] = {id_: set(ELSEWHERE.get(id_, ())) for id_ in STATES}
    for rule in load_rules():
        if rule.id:
            rules[rule.id].add(rule.code)
    assert {id_: codes for id_, codes in listed.items() if codes} == {i: codes for i, codes in rules.items() if codes}


def test_a_statement_without_a_code_says_why() -> None:
    for id_, state in STATES.items():
        if "RLC" not in state:
            word, _, reason = state.partition(": ")
            assert word in ("holds", "later"), id_
            assert reason, id_


def test_every_code_of_the_list_has_a_page() -> None:
    assert set(re.findall(r"RLC\d{4}", TEXT)) <= {page.code for page in all_pages()}
