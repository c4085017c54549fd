"""Whatever stands in an expression, the compiler answers with a plan or with diagnostics that point into the spec."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compiler.ir.subject import toml_literal
from tests.compiler.constraints.small_specs import requiring
from tests.support.good_spec import Changes, compiled

WORDS = (
    "rollout . samples_per_prompt rollout.samples_per_prompt train.global_batch run.max_steps 1 0 2.5 'a' + - * / // % "
    "== < >= in not and or if else ( ) [ ] , for x len max min stages data.train [0] { } lambda: \\ $"
)
TOKENS = st.sampled_from([*WORDS.split(), "for x in"])
TEXTS = st.one_of(st.lists(TOKENS, max_size=12).map(" ".join), st.text(max_size=20))


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, is_reference=st.booleans())
def test_no_text_breaks_the_compiler(
    tmp_path_factory: pytest.TempPathFactory, text: str, *, is_reference: bool
) -> None:
    text = text.encode("utf-8", "ignore").decode()
    changes: Changes = (
        {"train.global_batch": toml_literal(f"${{{text}}}")} if is_reference else {"require": requiring(text)}
    )
    found = compiled(tmp_path_factory.mktemp("spec"), changes)
    assert (found.plan is None) == any(d.severity == "error" for d in found.diagnostics)
    for label in (label for d in found.diagnostics for label in d.labels):
        assert 0 <= label.span.start <= label.span.end <= len(label.span.file.text)
