"""Search over documents, against BM25 computed by its formula."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.environment import Documents
from stdlib.episodes import ToolRefusalError
from stdlib.tools.search import Index

TEXTS = [
    "berlin is the capital of germany",
    "paris is the capital of france",
    "the capital of germany moved to berlin in 1990 and berlin grew",
    "bananas are yellow",
    "germany germany germany",
]


def index(folder: Path, texts: list[str], *, num_results: int = 3) -> Index:
    rows = "".join(json.dumps({"contents": text}) + "\n" for text in texts)
    (folder / "documents.jsonl").write_text(rows, encoding="utf-8")
    settings = Documents(documents="documents.jsonl", text_key="contents", num_results=num_results)
    return Index(settings, root=folder)


def bm25(query: list[str], texts: list[str]) -> list[float]:
    """Robertson and Zaragoza's formula with k1 = 1.2 and b = 0.75; words here need no stemming."""
    split = [text.split() for text in texts]
    mean = sum(len(words) for words in split) / len(split)
    scores = [0.0] * len(texts)
    for word in query:
        count = sum(word in words for words in split)
        idf = math.log((len(texts) - count + 0.5) / (count + 0.5))
        idf = idf if idf > 0 else 1e-6
        for at, words in enumerate(split):
            f = words.count(word)
            scores[at] += idf * f * 2.2 / (f + 1.2 * (1 - 0.75 + 0.75 * len(words) / mean))
    return scores


@pytest.mark.parametrize("query", [["berlin"], ["berlin", "1990"], ["bananas", "paris"], ["yellow"]])
def test_documents_are_ranked_by_bm25(tmp_path: Path, query: list[str]) -> None:
    scores = bm25(query, TEXTS)
    best = sorted((at for at in range(len(TEXTS)) if scores[at] > 0), key=lambda at: (-scores[at], at))
    assert index(tmp_path, TEXTS).search(" ".join(query)) == [TEXTS[at] for at in best[:3]]


def test_equals_keep_their_order_and_no_more_come_than_are_asked_for(tmp_path: Path) -> None:
    texts = ["one fish", "two fish", "red fish", "a bird", "a dog", "a cat", "an owl"]
    assert index(tmp_path, texts, num_results=2).search("fish") == ["one fish", "two fish"]


@pytest.mark.parametrize("query", ['berlin" OR "x', "berlin AND (", "NEAR(berlin", "berlin*", "text: berlin"])
def test_a_query_is_words_and_never_an_expression(tmp_path: Path, query: str) -> None:
    assert index(tmp_path, TEXTS).search(query)


def test_a_query_without_words_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ToolRefusalError, match="no word"):
        index(tmp_path, TEXTS).search("?!")


@pytest.mark.parametrize(
    ("content", "message"),
    [('{"text": "a"}\n', "no text under 'contents'"), ("{\n", "not JSON"), ("[]\n", "no text")],
)
def test_documents_that_cannot_be_read_are_a_coded_fault(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "documents.jsonl").write_text(content)
    settings = Documents(documents="documents.jsonl", text_key="contents", num_results=3)
    with pytest.raises(SpecError, match=message) as fault:
        Index(settings, root=tmp_path)
    assert fault.value.diagnostics[0].code == "RLC0747"


def test_a_missing_file_is_a_coded_fault(tmp_path: Path) -> None:
    settings = Documents(documents="none.jsonl", text_key="contents", num_results=3)
    with pytest.raises(SpecError, match="RLC0747"):
        Index(settings, root=tmp_path)
