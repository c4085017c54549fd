"""A hub of data sets without a network: names that the library `datasets` answers from Parquet files of this machine.

Its own builders and streams do the reading; only where a name leads is other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets
import pytest


def serve(monkeypatch: pytest.MonkeyPatch, files: Mapping[str, Path]) -> list[tuple[Any, ...]]:
    """Let names lead to files, and return the list of what is asked for; other names are not there."""
    load, asked = datasets.load_dataset, list[tuple[Any, ...]]()

    def load_dataset(name: str, subset: str | None = None, **options: Any) -> Any:
        asked.append((name, subset, options["split"], options["revision"], options["streaming"]))
        if name not in files:
            raise ConnectionError(f"Couldn't reach '{name}' on the Hub (offline)")
        data_files = {"train": str(files[name])}
        kept = {"cache_dir": str(files[name].parent / "cache")}
        return load("parquet", data_files=data_files, split=options["split"], streaming=options["streaming"], **kept)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    return asked
