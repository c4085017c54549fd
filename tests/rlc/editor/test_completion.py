"""What is proposed where the cursor stands: `|` marks it."""

from __future__ import annotations

import pytest

from rlc.catalogue import scan
from rlc.editor.completion import Vocabulary
from rlc.editor.context import Context, starlark_context, toml_context

VOCABULARY = Vocabulary(scan())


def proposed(marked: str) -> list[str]:
    before, _, after = marked.partition("|")
    context = toml_context(before, after)
    assert context is not None
    return [p.text for p in VOCABULARY.proposals(context, is_starlark=False)]


def proposed_in_starlark(before: str) -> list[str]:
    context = starlark_context(before)
    assert context is not None
    return [p.text for p in VOCABULARY.proposals(context, is_starlark=True)]


def test_keys_of_the_table_above_are_proposed_and_those_written_are_not() -> None:
    found = proposed("[optim]\nlr = 1e-3\n|\nbeta1 = 0.9\n[run]\nseed = 1\n")
    assert "weight_decay = " in found
    assert "lr = " not in found
    assert "beta1 = " not in found


def test_a_dotted_key_leads_into_a_nested_table() -> None:
    assert "estimator = " in proposed("[loss]\nkl.|")


def test_tables_are_proposed_in_a_header() -> None:
    found = proposed("[rol|")
    assert {"rollout", "rollout.sampling", "stages.optim"} <= set(found)


def test_a_stage_has_keys_of_its_own() -> None:
    found = proposed("[[stages]]\n|")
    assert "until = " in found
    assert "rlc = " not in found
    assert "lr = " in proposed("[[stages]]\n[stages.optim]\n|")


def test_choices_are_proposed_as_values() -> None:
    assert {'"linear"', '"cosine"'} <= set(proposed("[optim]\nschedule = |"))
    assert 'linear"' in proposed('[optim]\nschedule = "|')


def test_truth_is_written_as_the_syntax_has_it() -> None:
    assert "true" in proposed("[algo]\nnormalize_std = |")
    assert "True" in proposed_in_starlark("experiment(algo = dict(normalize_std = ")


def test_names_of_the_library_are_values() -> None:
    assert '"exact"' in proposed("[reward]\nname = |")
    assert '"cpu"' in proposed("[cluster]\ntarget = |")
    assert '"//recipes:grpo"' in proposed("use = [|")


@pytest.mark.parametrize(
    ("before", "table"),
    [
        ("experiment(", ""),
        ("x = [1, 2]\nfragment(\n    ", ""),
        ("experiment(optim = dict(", "optim"),
        ("experiment(name = 'a)', loss = dict(kl = dict(", "loss.kl"),
        ("experiment(optim = {", "optim"),
        ("experiment(stages = [dict(optim = dict(", "stages.optim"),
    ],
)
def test_the_table_of_a_call_is_known(before: str, table: str) -> None:
    context = starlark_context(before)
    assert context is not None
    assert context._replace(present=frozenset()) == Context("key", table, "", "")


@pytest.mark.parametrize("before", ["len(", "x = [", "", "experiment(optim = f("])
def test_elsewhere_in_starlark_nothing_is_proposed(before: str) -> None:
    assert starlark_context(before) is None


def test_a_comment_is_not_completed() -> None:
    assert toml_context("lr = 1 # and ") is None
