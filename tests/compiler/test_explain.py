"""The derivation graph of an experiment: every field is in it, and its edges are seen from both ends."""

from __future__ import annotations

from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.explain import Explainer, to_json
from rlc.catalogue import scan
from rlc.cli.explain_text import fields_text

SPECS = sorted((Path(__file__).parents[2] / "experiments").glob("*.toml"))


def explainer_of(spec: Path, *overrides: str) -> Explainer:
    compiled = compile_spec(spec, scan(), overrides=overrides)
    assert compiled.subject is not None
    return Explainer(compiled.subject)


@pytest.fixture(params=SPECS, ids=lambda path: path.stem)
def shipped(request: pytest.FixtureRequest) -> Explainer:
    return explainer_of(request.param)


def test_every_field_of_a_shipped_experiment_has_an_origin_and_a_page(shipped: Explainer) -> None:
    for path in shipped.paths:
        facts = shipped.facts(path)
        assert facts.origin is not None, path
        assert fields_text(shipped, (path,), ascii_only=True).startswith(f"{facts.shown} = ")


def test_an_input_knows_its_dependents_and_a_dependent_its_inputs(shipped: Explainer) -> None:
    for path in shipped.paths:
        for source in shipped.facts(path).inputs:
            assert source in shipped.paths
            dependents = shipped.facts(source).dependents
            assert any(path == known or path.startswith(f"{known}.") for known in dependents), (path, source)


def test_derivations_end_at_values_that_nothing_was_derived_for(shipped: Explainer) -> None:
    for path in shipped.paths:
        waiting = [(path, frozenset({path}))]
        for at, above in waiting:  # grows while it is read
            inputs = shipped.facts(at).inputs
            assert above.isdisjoint(inputs), f"{path} is derived from itself"
            waiting += [(source, above | {source}) for source in inputs]


def test_every_field_is_found_by_the_name_that_is_shown_of_it(shipped: Explainer) -> None:
    for path in shipped.paths:
        assert shipped.fields_called(shipped.shown(path)) == (path,)


QUICKSTART = next(spec for spec in SPECS if spec.stem == "quickstart")


def test_a_name_without_a_stage_means_every_stage_that_has_the_field() -> None:
    explainer = explainer_of(QUICKSTART)
    assert explainer.fields_called("optim.lr") == ("stages.0.optim.lr", "stages.1.optim.lr")
    assert explainer.fields_called("stages.grpo.optim.lr") == ("stages.1.optim.lr",)
    assert explainer.fields_called("optim") == ()


def test_a_table_holds_its_fields_and_those_of_tables_below() -> None:
    explainer = explainer_of(QUICKSTART)
    assert explainer.fields_of_table("stages.grpo.loss.kl")[:2] == (
        "stages.1.loss.kl.estimator",
        "stages.1.loss.kl.coef",
    )
    assert "stages.1.loss.kl.coef" in explainer.fields_of_table("loss")
    assert explainer.fields_of_table("optim.lr") == ()


def test_a_wrong_table_before_a_right_name_is_seen_through() -> None:
    assert explainer_of(QUICKSTART).nearest("optimizer.warmup_steps") == ["optim.warmup_steps"]


def test_a_field_may_change_on_resume_if_its_table_may() -> None:
    explainer = explainer_of(QUICKSTART)
    assert explainer.facts("stages.0.until.threshold").may_change_on_resume
    assert not explainer.facts("model.num_layers").may_change_on_resume


def test_json_holds_what_lost_with_all_that_it_had_won_over() -> None:
    explainer = explainer_of(QUICKSTART, "optim.lr=1e-4")
    found = to_json(explainer, ["stages.1.optim.lr"])
    assert isinstance(found, dict)
    assert found["asked"] == ["stages.grpo.optim.lr"]
    text = str(found)
    assert text.index("'kind': 'override'") < text.index("'kind': 'spec'") < text.index("'kind': 'recipe'")
