"""Findings on the disk: the smallest input of each kind of fault, and a report beside it."""

from __future__ import annotations

from pathlib import Path

_FOLDER = "findings"
_REPORT = ".txt"


def keep(path: Path, data: bytes, report: str) -> None:
    """Write an input and its report, unless a smaller one of its kind is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.stat().st_size > len(data):
        path.write_bytes(data)
        path.with_name(f"{path.name}{_REPORT}").write_text(report, encoding="utf-8", errors="backslashreplace")


def findings(folder: Path) -> list[Path]:
    """Return the inputs that were kept below a folder, each in the folder of its target."""
    return sorted(path for path in (folder / _FOLDER).glob("*/*") if path.suffix != _REPORT)


def crashes(folder: Path) -> list[Path]:
    """Return the inputs over which a process of libFuzzer ended; those are of no target's folder."""
    return sorted(path for path in (folder / _FOLDER).glob("*-*") if path.is_file())
