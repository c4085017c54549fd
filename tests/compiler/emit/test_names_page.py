"""The page of names: every model and recipe of the library is on it, once."""

from __future__ import annotations

import re

from compiler.emit._library import labels, names_page
from compiler.frontend.roots import library_names
from rlc.catalogue import scan


def test_every_model_and_recipe_is_on_the_page_once() -> None:
    catalogue = scan()
    shown = re.findall(r"`//(models|recipes):([a-z0-9_]+)`", names_page(catalogue))
    for kind in ("models", "recipes"):
        assert sorted(name for of, name in shown if of == kind) == library_names(kind, catalogue.stdlib)


def test_a_family_is_told_in_the_first_words_of_its_file() -> None:
    (line,) = [line for line in names_page(scan()).splitlines() if "//models:kimi_k2`" in line]
    assert line.startswith("- `//models:kimi_k2`, `//models:kimi_k2_thinking`: Kimi K2: ")


def test_labels_are_those_that_a_spec_may_name() -> None:
    stdlib = scan().stdlib
    assert "//models:qwen3_4b" in labels(stdlib / "models")
    assert "//models:qwen3" not in labels(stdlib / "models")
    assert "//recipes:grpo" in labels(stdlib / "recipes")
