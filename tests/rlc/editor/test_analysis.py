"""An open spec as the editor has it: its faults, what stands at a place, where that came from, and fixes."""

from __future__ import annotations

from pathlib import Path

from lsprotocol import types as lsp

from rlc.catalogue import scan
from rlc.cli.explain_text import fields_text
from rlc.editor.analysis import Analysis
from rlc.editor.compiling import analysed, edits_of, path_of_source
from rlc.editor.server import make_server
from tests.compiler.emit.plan_specs import ONE_STAGE

CATALOGUE = scan()


def opened(folder: Path, text: str) -> Analysis:
    """The file on disk is empty: only the editor has the text."""
    spec = folder / "spec.toml"
    spec.write_text("")
    return analysed(spec, {spec: text}, CATALOGUE)


def test_a_text_that_is_not_saved_is_compiled(tmp_path: Path) -> None:
    assert opened(tmp_path, ONE_STAGE).diagnostics == ()


def test_hover_over_a_value_says_why_it_is(tmp_path: Path) -> None:
    analysis = opened(tmp_path, ONE_STAGE)
    found = analysis.field_at(analysis.source.text.index("samples_per_prompt") + 3)
    assert found is not None
    assert "rollout.samples_per_prompt = 4 (samples)" in fields_text(found.explainer, found.paths, ascii_only=True)


def test_what_a_value_won_over_can_be_gone_to(tmp_path: Path) -> None:
    analysis = opened(tmp_path, ONE_STAGE + "[optim]\nlr = 2e-6\n")
    found = analysis.field_at(analysis.source.text.index("2e-6"))
    assert found is not None
    places = [path_of_source(span.file, analysis) for span in analysis.origins_of(found)]
    assert [path.name for path in places if path is not None] == ["grpo.star"]


def test_a_file_can_be_gone_to_where_it_is_named(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text("[optim]\nbeta1 = 0.8\n")
    text = ONE_STAGE.replace('use = ["//recipes:grpo"]', 'use = ["//recipes:grpo", "base.toml"]')
    text = text.replace("//models:tiny_qwen3", "//models:qwen3_0_6b")
    analysis = opened(tmp_path, text)
    assert _file_at(analysis, "recipes:") == "grpo.star"
    assert _file_at(analysis, "base.toml") == "base.toml"
    assert _file_at(analysis, "models:") == "qwen3.star"
    assert _file_at(analysis, "exact") is None
    assert _file_at(analysis, "max_steps") is None


def _file_at(analysis: Analysis, text: str) -> str | None:
    span = analysis.file_named_at(analysis.source.text.index(text))
    path = None if span is None else path_of_source(span.file, analysis)
    return None if path is None else path.name


def test_a_way_out_is_an_edit_of_the_open_text(tmp_path: Path) -> None:
    analysis = opened(tmp_path, ONE_STAGE.replace("global_batch = 32", "global_batch = 32\nsteps_per_rollout = 3"))
    (fault,) = analysis.diagnostics
    edits = [edits_of(way, fault, analysis) for way in fault.help]
    assert any(text == "2" and span.text == "3" for found in edits for span, text in found)


def test_the_server_serves_what_an_editor_asks_for() -> None:
    features = make_server(CATALOGUE, version="0").protocol.fm.features
    assert {
        lsp.TEXT_DOCUMENT_HOVER,
        lsp.TEXT_DOCUMENT_COMPLETION,
        lsp.TEXT_DOCUMENT_DEFINITION,
        lsp.TEXT_DOCUMENT_CODE_ACTION,
    } <= features.keys()
