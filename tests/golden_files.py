"""Golden files: texts that a test must reproduce exactly, reviewed as code.

A golden text opens with a line that names the command which rewrites it, written as a comment of its format; JSON has
no comments and no such line.  After a run of the whole suite, a file below tests/golden that no test used is an
orphan, and the run fails.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import pytest

COMMAND = "python -m pytest --update-golden"
COMMENTS = {
    ".json": None,
    ".jsonl": None,
    ".sarif": None,
    ".md": f"<!-- rewritten by: {COMMAND} -->\n",
    ".html": f"<!-- rewritten by: {COMMAND} -->\n",
    ".py": f"# rewritten by: {COMMAND}\n",
    ".sh": f"# rewritten by: {COMMAND}\n",
    ".sbatch": f"# rewritten by: {COMMAND}\n",
    ".dockerfile": f"# rewritten by: {COMMAND}\n",
    ".star": f"# rewritten by: {COMMAND}\n",
    ".toml": f"# rewritten by: {COMMAND}\n",
    ".txt": f"# rewritten by: {COMMAND}\n",
    ".yaml": f"# rewritten by: {COMMAND}\n",
}


class Golden:
    """Compares texts with files of one folder, on behalf of one test."""

    def __init__(self, folder: Path, *, test: str, update: bool, used: set[str]) -> None:
        self._folder = folder
        self._test = test
        self._update = update
        self._used = used

    def __call__(self, name: str, text: str) -> None:
        """Hold a text against the golden file of this name, a path below the folder; its suffix is its format.

        Fails with a unified diff and the command that accepts the text; under --update-golden the file is rewritten.
        """
        file = self._folder / name
        if file.suffix not in COMMENTS:
            pytest.fail(f"tests/golden/{name}: the suffix must be one of {', '.join(COMMENTS)}")
        self._used.add(name)
        wanted = (COMMENTS[file.suffix] or "") + text
        if self._update:
            _write(file, wanted)
            return
        found = file.read_bytes().decode() if file.exists() else None
        if found != wanted:
            pytest.fail(self._difference(name, found=found, wanted=wanted), pytrace=False)

    def _difference(self, name: str, *, found: str | None, wanted: str) -> str:
        diff = difflib.unified_diff(
            (found or "").splitlines(keepends=True),
            wanted.splitlines(keepends=True),
            f"tests/golden/{name}" if found is not None else "(no such file)",
            "what the test produced",
        )
        shown = "".join(line if line.endswith("\n") else f"{line}\n(no line break at the end)\n" for line in diff)
        return f"tests/golden/{name} differs; to accept what the test produced:\n  {COMMAND} '{self._test}'\n\n{shown}"


class OrphanWatch:
    """A pytest plugin: which golden files were used, in this process and in the workers of pytest-xdist."""

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        self.used: set[str] = set()
        self.orphans: list[str] = []
        self._config = config
        self._folder = folder
        self._is_partial = False

    def pytest_deselected(self, items: Iterable[pytest.Item]) -> None:
        """Note that tests were left out, other than those that never run here."""
        left_out = (i for i in items if i.get_closest_marker("gpu") is None and i.get_closest_marker("network") is None)
        self._is_partial |= any(True for _ in left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        """Take over what a worker of pytest-xdist used."""
        output: dict[str, object] = getattr(node, "workeroutput", {})
        used = output.get("golden_used", [])
        assert isinstance(used, list)
        self.used.update(used)
        self._is_partial |= bool(output.get("golden_partial", True))

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Look for orphans if the whole suite ran and passed; a worker reports to its controller instead."""
        output: dict[str, object] | None = getattr(self._config, "workeroutput", None)
        if output is not None:
            output["golden_used"] = sorted(self.used)
            output["golden_partial"] = self._is_partial
            return
        if exitstatus == pytest.ExitCode.OK and self._ran_whole_suite():
            self.orphans = orphans(self._folder, self.used)
            if self.orphans:
                session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Name the orphans and how to remove them."""
        if self.orphans:
            terminalreporter.section("orphan golden files", red=True)
            terminalreporter.line("no test uses these files; delete them:")
            for name in self.orphans:
                terminalreporter.line(f"  rm 'tests/golden/{name}'")

    def _ran_whole_suite(self) -> bool:
        narrowing = any(self._config.getoption(name) for name in ("collectonly", "ignore", "ignore_glob"))
        from_settings = self._config.args_source is pytest.Config.ArgsSource.TESTPATHS
        return from_settings and not narrowing and not self._is_partial


def orphans(folder: Path, used: set[str]) -> list[str]:
    """Return the files below a folder that were not used, as sorted paths relative to it."""
    files = (f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    return sorted(set(files) - used)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode())
