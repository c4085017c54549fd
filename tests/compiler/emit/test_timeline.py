"""The picture of a step: well-formed, complete in itself, and true to the numbers of the plan."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pytest

from compiler.emit._picture_colours import contrast
from compiler.emit._time_spans import spans_of
from compiler.emit.timeline import timeline_html, timeline_svg
from compiler.ir.catalogue import Gpu
from compiler.ir.openness import OFF
from compiler.ir.plan import PhaseTime, Plan, StageTime
from rlc.catalogue import scan
from tests.support.good_spec import GPU, compiled

Side = Literal["both", "train", "rollout"]
SVG = "{http://www.w3.org/2000/svg}"


def plan_on_gpus(folder: Path) -> tuple[Plan, Gpu]:
    plan = compiled(folder, {"cluster.usd_per_gpu_hour": "2"}, base=GPU).plan
    assert plan is not None
    return plan, scan().load_hardware()[str(plan.experiment.cluster.gpu)]


def step(*phases: tuple[str, Side, float], overlaps: bool = False) -> StageTime:
    made = tuple(PhaseTime(name=name, side=side, seconds=seconds) for name, side, seconds in phases)
    return StageTime(
        phases=made, overlaps=overlaps, step_seconds=1.0, tokens_per_s=1.0, tokens_per_s_per_gpu=1.0, mfu=0.5,
        gpu_hours=1.0, usd=OFF,
    )  # fmt: skip


def test_phases_follow_one_another(tmp_path: Path) -> None:
    spans = spans_of(step(("rollout", "both", 3.0), ("train", "both", 2.0)))
    assert [(span.begin, span.end) for span in spans] == [(0, 3), (3, 5)]


def test_two_sides_begin_together_and_meet_at_the_handover() -> None:
    spans = spans_of(step(("rollout", "rollout", 5.0), ("train", "train", 2.0), ("sync", "both", 1.0), overlaps=True))
    assert [(span.begin, span.end) for span in spans] == [(0, 5), (0, 2), (5, 6)]


def test_split_sides_that_wait_for_one_another_do_not_begin_together() -> None:
    spans = spans_of(step(("rollout", "rollout", 5.0), ("train", "train", 2.0)))
    assert [(span.begin, span.end) for span in spans] == [(0, 5), (5, 7)]


def test_a_bar_is_as_long_as_its_phase(tmp_path: Path) -> None:
    plan, gpu = plan_on_gpus(tmp_path)
    time = plan.forecast.stages[0].time
    assert isinstance(time, StageTime)
    bars = {
        title.text.split(":")[0]: float(bar.attrib["width"])
        for bar in ElementTree.fromstring(timeline_svg(plan, gpu)).iter(f"{SVG}rect")
        if (title := bar.find(f"{SVG}title")) is not None and title.text
    }
    whole = sum(phase.seconds for phase in time.phases)
    for phase in time.phases:
        assert bars[phase.name] == pytest.approx(max(1.0, 724 * phase.seconds / whole), abs=0.1)


def test_every_phase_of_memory_is_drawn_with_its_size(tmp_path: Path) -> None:
    plan, gpu = plan_on_gpus(tmp_path)
    texts = [text.text or "" for text in ElementTree.fromstring(timeline_svg(plan, gpu)).iter(f"{SVG}text")]
    assert {"rollout (GPU)", "train (GPU)", "weight sync (GPU)"} <= set(texts)
    assert "USD" in "".join(texts)
    assert not [
        text for text in [one.text or "" for one in ElementTree.fromstring(timeline_svg(plan, None))] if "GiB" in text
    ]


def test_what_is_written_in_a_bar_can_be_read_and_every_colour_is_explained(tmp_path: Path) -> None:
    """By WCAG, text needs a contrast of 4.5 to its ground; all parts of a bar are named below them."""
    plan, gpu = plan_on_gpus(tmp_path)
    picture = ElementTree.fromstring(timeline_svg(plan, gpu))
    named = {
        title.text.split(":")[0]: bar.attrib["fill"]
        for bar in picture.iter(f"{SVG}rect")
        if (title := bar.find(f"{SVG}title")) is not None and title.text and "GiB" in title.text
    }
    texts = [(one.text or "", one.attrib.get("style", "")) for one in picture.iter(f"{SVG}text")]
    inside = [(text, style.removeprefix("fill:")) for text, style in texts if style and text in named]
    assert inside
    assert all(contrast(ink, named[text]) >= 4.5 for text, ink in inside)
    assert set(named) <= {text for text, style in texts if not style}
    assert len(set(named.values())) == len(named)
    assert min(float(one.attrib["x"]) for one in picture.iter(f"{SVG}text")) > 0


def test_a_page_needs_nothing_else_and_runs_nothing(tmp_path: Path) -> None:
    plan, gpu = plan_on_gpus(tmp_path)
    page = timeline_html(plan, gpu)
    assert "<script" not in page
    assert page.count("http") == 1  # the name of SVG's own namespace


def test_the_name_of_an_experiment_is_text(tmp_path: Path) -> None:
    plan, gpu = plan_on_gpus(tmp_path)
    named = plan.replacing(experiment=plan.experiment.replacing(name="<script>&amp;"))
    assert "<script" not in timeline_html(named, gpu)
    ElementTree.fromstring(timeline_svg(named, gpu))
