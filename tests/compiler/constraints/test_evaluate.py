"""Expressions over the fields of a resolved experiment, against Python's own arithmetic on fractions."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compiler.constraints import exact
from compiler.constraints.evaluate import Surroundings, Value, evaluate, uses
from compiler.constraints.expression import read_expression
from compiler.constraints.names import Names
from compiler.diagnostics.diagnostic import SpecError
from compiler.diagnostics.span import SourceFile, Span
from compiler.ir.equations import Ratio
from rlc.catalogue import scan
from tests.compiler.constraints.small_specs import outcome

CATALOGUE = scan()
# Literals of the grammar, and what they are as fractions.
LITERALS = st.one_of(
    st.integers(0, 50).map(str), st.sampled_from(["0.5", "1.25", "1e-3", "2.5e2"]), st.sampled_from(["a", "b", "c"])
)
KNOWN = {"a": Fraction(4), "b": Fraction(8), "c": Fraction(16)}
NAMES = {"a": "rollout.prompts_per_step", "b": "rollout.samples_per_prompt", "c": "rollout.max_response_tokens"}


@cache
def around() -> Surroundings:
    with TemporaryDirectory() as folder:
        found = outcome(Path(folder), {})
    assert found.subject is not None
    return Surroundings(Names(found.subject.experiment, 0, has_stage_list=False), CATALOGUE)


def value_of(text: str) -> Value:
    source = SourceFile("text", text)
    return evaluate(read_expression(text, Span(source, 0, len(text)), None, inside=(0, len(text))), around())


def _pair(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    operators = st.sampled_from(["+", "-", "*", "/", "//", "%"])
    calls = st.builds("{}({}, {})".format, st.sampled_from(["min", "max"]), inner, inner)
    choices = st.builds("({} if {} < {} else {})".format, inner, inner, inner, inner)
    return st.one_of(
        st.builds("({} {} {})".format, inner, operators, inner), st.builds("(-{})".format, inner), calls, choices
    )


EXPRESSIONS = st.recursive(LITERALS, _pair, max_leaves=12)


@given(EXPRESSIONS)
def test_arithmetic_is_that_of_fractions(text: str) -> None:
    python = re.sub(r"\d+(\.\d+)?(e-?\d+)?", lambda found: f'F("{found[0]}")', text)
    ours = re.sub(r"\b[abc]\b", lambda found: NAMES[found[0]], text)
    try:
        expected = Fraction(eval(python, {"F": Fraction, "min": min, "max": max, **KNOWN}))
    except ZeroDivisionError:
        with pytest.raises(SpecError, match="division by zero"):
            value_of(ours)
        return
    found = value_of(ours)
    assert isinstance(found, (int, Ratio))
    assert Fraction(*exact.parts(found)) == expected


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("rollout.prompts_per_step == 4 and not rollout.samples_per_prompt < 8", True),
        ("0.1 + 0.2 == 0.3", True),
        ("1 == True", False),
        ("reward.name + '!'", "exact!"),
        ("reward.name in ['exact', 'other']", True),
        ("rollout.sampling.top_k", "off"),
        ("'act' in reward.name", True),
        ("len(data.train)", 1),
        ("data.train[0].path", "train.jsonl"),
        ("[len(s.path) for s in data.train if s.path != '']", [11]),
        ("all([s.path != '' for s in data.train])", True),
        ("sum([x * x for x in range(4)])", 14),
        ("str(rollout.samples_per_prompt * 1000) + 'x'", "8000x"),
        ("int(7 / 2)", 3),
        ("int(-7 / 2)", -3),
        ("abs(-3)", 3),
        ("max([1, 3, 2])", 3),
        ("6 & 3 | 8 ^ 1", 11),
        ("run.max_steps + run.seed", 10),
        ("name", "case"),
        ("3 if rollout.samples_per_prompt > 9 else None", None),
        ("False and 1 // 0 == 1", False),
    ],
)
def test_an_expression_has_the_value_of_starlark(text: str, value: Value) -> None:
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rollout + 1", "+ does not apply to a table"),
        ("1 < 'a'", "< does not apply to"),
        ("lambda: 1", "no lambda"),
        ("{}", "no dicts"),
        ("data.train[3].path", "no field data.train[3].path"),
        ("[1][2]", "there is no element 2"),
        ("len(4)", "len takes a list, not the whole number 4"),
        ("min([])", "min of nothing"),
        ("range(1, 2, 0)", "range takes"),
        ("max(1, key = 2)", "by position"),
        ("reward.name.upper()", "is no function here"),
        ("[x for x in range(10000) if [y for y in range(10000)] == []]", "steps"),
        ("range(20000)", "at most 10,000"),
        ("'a' * 3", "* does not apply to"),
    ],
)
def test_what_has_no_value_says_why(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        value_of(text)
    assert message in caught.value.diagnostics[0].message


def test_the_fields_that_an_expression_names_are_found_with_their_places() -> None:
    text = "rollout.prompts_per_step * 2 == [x for x in [run.max_steps]][0] + len(data.train)"
    expression = read_expression(text, Span(SourceFile("t", text), 0, len(text)), None, inside=(0, len(text)))
    found = uses(expression, around())
    assert [(use.path, expression.span(use.node).text) for use in found] == [
        ("stages.0.rollout.prompts_per_step", "rollout.prompts_per_step"),
        ("stages.0.run.max_steps", "run.max_steps"),
        ("stages.0.data.train", "data.train"),
    ]


def test_reading_does_not_depend_on_the_folder_of_the_cache(tmp_path: Path) -> None:
    text = "rollout.prompts_per_step"
    span = Span(SourceFile("t", text), 0, len(text))
    first, again = (read_expression(text, span, tmp_path, inside=(0, len(text))) for _ in range(2))
    assert first.tree == again.tree == read_expression(text, span, None, inside=(0, len(text))).tree
