"""Search over local documents, ranked by BM25: the full-text index of SQLite, held in memory.

Source: the ranking is FTS5's bm25() (k1 = 1.2, b = 0.75); Robertson and Zaragoza, "The Probabilistic Relevance
Framework: BM25 and Beyond", 2009.  Among equals the earlier document comes first.
"""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

from compiler.diagnostics.diagnostic import Diagnostic, Help, SpecError
from compiler.ir.environment import Documents
from stdlib.episodes import ToolRefusalError, ToolSpec
from stdlib.samples import JsonValue

_WORD = re.compile(r"\w+")
_MAX_WORDS = 64


def open_tool(settings: object, *, root: Path) -> ToolSpec:
    """Return the tool.  Raises: SpecError RLC0747 if the documents cannot be read."""
    assert isinstance(settings, Documents)
    index = Index(settings, root=root)

    def search(query: str) -> str:
        return listed(index.search(query))

    schema: dict[str, JsonValue] = {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Searches a collection of documents and returns those that fit best.",
            "parameters": {
                "type": "object",
                "properties": {"query": {"type": "string", "description": "What to look for."}},
                "required": ["query"],
            },
        },
    }
    return ToolSpec(schema=schema, call=search, is_quick=False)


def listed(found: list[str]) -> str:
    """Return documents as the model reads them, numbered from 1."""
    return "\n".join(f"Doc {number}: {text}" for number, text in enumerate(found, 1)) or "No document was found."


class Index:
    """Documents in memory.  Searches from several threads take turns."""

    def __init__(self, settings: Documents, *, root: Path) -> None:
        self._num_results = settings.num_results
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute("CREATE VIRTUAL TABLE documents USING fts5(text, tokenize = 'porter unicode61')")
        with self._database:
            self._database.executemany("INSERT INTO documents (text) VALUES (?)", _texts(settings, root))

    def search(self, query: str) -> list[str]:
        """Return the documents that hold any word of a query, the best first.  Raises: ToolRefusalError."""
        words = list(dict.fromkeys(word.lower() for word in _WORD.findall(query)))[:_MAX_WORDS]
        if not words:
            raise ToolRefusalError("the query has no word to look for")
        wanted = " OR ".join(f'"{word}"' for word in words)
        with self._lock:
            rows = self._database.execute(
                "SELECT text FROM documents WHERE documents MATCH ? ORDER BY bm25(documents), rowid LIMIT ?",
                (wanted, self._num_results),
            ).fetchall()
        return [str(text) for (text,) in rows]


def _texts(settings: Documents, root: Path) -> Iterator[tuple[str]]:
    path = root / settings.documents
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                row = json.loads(line)
                text = row.get(settings.text_key) if isinstance(row, dict) else None
                if not isinstance(text, str):
                    raise _fault(f"{settings.documents}:{number} has no text under {settings.text_key!r}")
                yield (text,)
    except OSError as fault:
        raise _fault(f"{settings.documents} cannot be read: {fault.strerror}") from fault
    except ValueError as fault:
        raise _fault(f"{settings.documents} is not JSON on every line: {fault}") from fault


def _fault(message: str) -> SpecError:
    way = Help('documents are lines such as {"contents": "Berlin is the capital of Germany."}')
    return SpecError(Diagnostic("RLC0747", message, help=(way,), paths=("environment",)))
