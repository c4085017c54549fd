"""Every code that rlc prints has one page, and every page a code."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
import tomli

from compiler.diagnostics.page import FOLDER, HEADINGS, read_pages, rule_page
from compiler.explain import all_pages, nearest_codes, pages_of

PROJECT = Path(__file__).parents[3]
PACKAGES = ("compiler", "rlc", "runtime", "stdlib", "targets")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)


def codes_in(text: str) -> set[str]:
    return set(re.findall(r"\bRLC0\d{3}\b", text))


def codes_of_source() -> set[str]:
    files = [path for package in PACKAGES for path in (PROJECT / package).rglob("*.py")]
    return {code for path in files for code in codes_in(path.read_text(encoding="utf-8"))}


def headings(text: str) -> list[str]:
    return HEADING.findall(FENCE.sub("", text))


def sections(text: str) -> Iterable[str]:
    return re.split(r"^## .+$", text, flags=re.MULTILINE)[1:]


def test_every_code_of_the_source_has_a_page_and_no_page_is_left_over() -> None:
    paged = {page.code for page in all_pages()}
    assert sorted(codes_of_source() - paged) == []
    assert sorted(paged - codes_of_source()) == []


def test_no_code_has_two_pages() -> None:
    twice = {code: count for code, count in Counter(page.code for page in all_pages()).items() if count > 1}
    assert twice == {}


def test_a_page_has_its_headings_in_their_order_and_says_something_under_each() -> None:
    for page in all_pages():
        found = headings(page.text)
        assert [heading for heading in found if heading != "Source"] == list(HEADINGS), page.code
        assert all(section.strip() for section in sections(page.text)), page.code


def test_a_page_names_only_codes_that_have_a_page() -> None:
    paged = {page.code for page in all_pages()}
    dead = {page.code: codes_in(page.text) - paged for page in all_pages()}
    # RLC0999 is the example of a code that does not exist.
    assert {code: found for code, found in dead.items() if found} == {"RLC0019": {"RLC0999"}}


def test_a_page_fits_a_terminal() -> None:
    for path in sorted(FOLDER.glob("*.md")):
        prose = FENCE.sub("", path.read_text(encoding="utf-8")).splitlines()
        assert [line for line in prose if len(line) > 120] == [], path.name


def test_code_under_a_fix_is_of_its_language() -> None:
    for page in read_pages():
        for language, code in re.findall(r"^```(\w+)\n(.*?)^```$", page.text.partition("## Fix")[2], re.M | re.S):
            if language == "toml":
                tomli.loads(code)
            elif language == "json":
                json.loads(code)
            elif language == "python":
                ast.parse(code)
            else:
                assert language == "console", page.code
                assert code.startswith("$ "), page.code


def test_every_file_of_the_folder_is_a_page() -> None:
    assert sorted(p.stem for p in FOLDER.iterdir()) == [page.code for page in read_pages()]


def test_a_page_without_the_title_of_its_code_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "RLC0001.md").write_text("# RLC0002: other\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"RLC0001\.md does not begin with `# RLC0001: TITLE`"):
        read_pages(tmp_path)


def test_the_docstring_of_a_rule_becomes_a_page() -> None:
    docstring = "A holds.\n\nWhat: one.\nWhy it matters: two\nlines.\nExample: a_b is 3.\nFix: four.\nSource: five.\n"
    page = rule_page(code="RLC0300", id_="X-01", rule="a_holds", docstring=docstring)
    assert page.title == "A holds"
    assert page.text == (
        "# RLC0300: A holds (X-01)\n\n## What\n\nOne.\n\n## Why it matters\n\nTwo\nlines.\n\n"
        "## Example\n\na_b is 3.\n\n## Fix\n\nFour.\n\n## Source\n\nFive.\n"
    )


def test_a_page_is_found_by_code_and_by_rule_in_any_case_of_letters() -> None:
    by_code, by_rule = pages_of("rlc0301"), pages_of("batch-01")
    assert [page.code for page in by_code] == ["RLC0301"]
    assert by_code == by_rule


def test_an_id_of_several_rules_has_all_of_their_pages() -> None:
    assert {"RLC0316", "RLC0507"} <= {page.code for page in pages_of("PAR-02")}


def test_a_misspelt_code_has_near_ones() -> None:
    assert pages_of("RLC0O01") == ()
    assert "RLC0001" in nearest_codes("RLC0O01")
