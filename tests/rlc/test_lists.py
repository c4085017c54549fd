"""`rlc recipes`, `rlc rules` and `rlc hardware`: everything that there is, once."""

from __future__ import annotations

import json

import pytest

from compiler.explain import all_pages
from compiler.frontend.roots import library_names
from rlc.catalogue import load_hardware, scan
from rlc.cli.main import main
from rlc.cli.table import aligned

Captured = pytest.CaptureFixture[str]


def test_columns_are_lined_up_and_nothing_trails() -> None:
    assert aligned([("a", "bb", "c"), ("ddd", "", "e"), ("f", "g", "")]) == "a    bb  c\nddd      e\nf    g"
    assert aligned([]) == ""


def test_every_recipe_is_listed_with_its_first_line(capsys: Captured) -> None:
    assert main(["recipes", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [r["label"] for r in listed] == [f"//recipes:{n}" for n in library_names("recipes", scan().stdlib)]
    assert all(r["summary"].endswith(".") for r in listed)
    assert main(["recipes"]) == 0
    shown = capsys.readouterr().out
    assert all(f"{r['label']} " in shown and r["summary"] in shown for r in listed)


def test_parameters_of_a_recipe_have_the_defaults_that_its_file_says(capsys: Captured) -> None:
    assert main(["recipes", "grpo", "--json"]) == 0
    (recipe,) = json.loads(capsys.readouterr().out)
    assert recipe["parameters"]["clip_high"] == "0.28"
    assert recipe["parameters"]["reduction"] == '"token"'


def test_a_recipe_by_name_or_label_is_its_text(capsys: Captured) -> None:
    for name in ("grpo", "//recipes:grpo"):
        assert main(["recipes", name]) == 0
        assert "def grpo(" in capsys.readouterr().out
    assert main(["recipes", "gpro"]) == 1
    assert "did you mean grpo?" in capsys.readouterr().err


def test_every_code_is_listed_once(capsys: Captured) -> None:
    assert main(["rules", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(r["code"], r["id"], r["title"]) for r in listed] == [(p.code, p.id, p.title) for p in all_pages()]
    severities = {r["code"]: r["severity"] for r in listed}
    assert set(severities.values()) == {"error", "warning", "either"}
    assert [severities[code] for code in ("RLC0301", "RLC0534", "RLC0512")] == ["error", "warning", "either"]
    assert main(["rules"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [p.code for p in all_pages()]


def test_every_gpu_is_listed_once_with_what_it_has(capsys: Captured) -> None:
    assert main(["hardware", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert listed.keys() == load_hardware().keys()
    assert listed["H100-80-SXM"]["memory_gib"] == 79.6
    assert main(["hardware"]) == 0
    head, *lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert head[:4] == ["name", "vendor", "GiB", "TB/s"]
    assert sorted(line[0] for line in lines) == sorted(listed)
    assert ["MI300X-192", "amd", "191.5", "5.3", "1,307", "2,614", "-"] in [line[:7] for line in lines]


def test_one_gpu_says_where_its_figures_are_from_and_how_to_write_it(capsys: Captured) -> None:
    assert main(["hardware", "GB200-192"]) == 0
    shown = capsys.readouterr().out
    assert load_hardware()["GB200-192"].source in shown
    assert 'cluster.gpus_per_node = "4xGB200-192"' in shown
    assert main(["hardware", "GB200-192", "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["GB200-192"]


def test_a_gpu_that_is_none_offers_the_nearest(capsys: Captured) -> None:
    assert main(["hardware", "H100-80-SXN"]) == 1
    shown = capsys.readouterr().err
    assert "there is no GPU H100-80-SXN" in shown
    assert "did you mean H100-80-SXM" in shown


def test_the_beginning_of_a_name_lists_the_gpus_that_begin_so(capsys: Captured) -> None:
    assert main(["hardware", "a100"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["name", *sorted(n for n in load_hardware() if n.startswith("A100"))]
    assert main(["hardware", "gb200"]) == 0
    assert 'cluster.gpus_per_node = "4xGB200-192"' in capsys.readouterr().out
