"""What a change of specs changes in their plans, as a comment for whoever reviews it.

Usage: python report.py --base REVISION [FOLDER...], anywhere in a git repository, by a Python that has rlc installed.
Without folders the specs that differ from the revision are compared, with folders all that are in them.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from compiler.compile import experiments_of
from compiler.frontend.session import Session
from rlc.catalogue import scan
from rlc.revision import unpacked

MARKER = "<!-- rlc plan diff -->"
LONGEST = 60_000  # characters; a comment holds 65,536
FOREIGN = ("pyproject.toml", "rlc.toml", "Cargo.toml")
NO_EXPERIMENT = "error[RLC0156]"
NO_SUCH_EXPERIMENT = "error[RLC0024]"


def report(base: str, folders: Sequence[str]) -> str:
    """Return the comment, in Markdown."""
    # What a branch changes is counted from where it left the base, which may have gone on.
    base = _git("rev-parse", "--short=12", _git("merge-base", base, "HEAD").strip()).strip()
    changed = _changed(base)
    status = dict(changed)
    paths = [path for path, _ in changed]
    if folders:
        listed = _git("ls-files", "-z", "--", *(f":(top){folder}" for folder in folders)).split("\0")
        paths = list(dict.fromkeys([*paths, *(path for path in listed if _is_spec(path))]))
    specs = [found for path in paths for found in _experiments(path, status.get(path, "M"), base)]
    parts = [part for spec, how in specs if (part := _section(spec, how, base)) is not None]
    if not parts:
        parts = [f"No plan differs from `{base}`."]
    text = "\n\n".join([MARKER, f"### What changes in the plans since `{base}`", *parts])
    if len(text) > LONGEST:
        text = text[:LONGEST].rpartition("\n")[0] + "\n```\n\nThe rest is cut: a comment holds no more."
    return text + "\n"


def _changed(base: str) -> list[tuple[str, str]]:
    """The specs that differ from a revision, each with how: A(dded), M(odified) or D(eleted)."""
    words = _git("diff", "--name-status", "--no-renames", "-z", base, "HEAD").split("\0")
    pairs = zip(words[1::2], words[::2], strict=False)
    return [(path, status) for path, status in pairs if _is_spec(path)]


def _is_spec(path: str) -> bool:
    return path.endswith((".toml", ".star")) and Path(path).name not in FOREIGN


def _experiments(path: str, how: str, base: str) -> list[tuple[str, str]]:
    """A file of several experiments as each of them, `FILE:NAME`, with those that the base alone has as deleted."""
    spec = Path(_git("rev-parse", "--show-toplevel").strip()) / path
    if not spec.is_file():
        return [(path, how)]
    names = experiments_of(spec, Session(scan().stdlib))
    found = [(f"{path}:{name}" if name else path, how) for name in names]
    if how == "M" and path.endswith(".star"):
        with unpacked(spec, base) as before:
            gone = [name for name in experiments_of(before.spec, Session(scan().stdlib)) if name and name not in names]
        found += [(f"{path}:{name}", "D") for name in gone]
    return found


def _section(path: str, status: str, base: str) -> str | None:
    if status == "D":
        return f"**`{path}`** is deleted."
    done = _rlc("plan", path) if status == "A" else _rlc("plan", path, "--diff", base)
    if status != "A" and done.returncode != 0 and NO_SUCH_EXPERIMENT in done.stderr:
        return _section(path, "A", base)  # an arm that the sweep did not have, or a file that had only one
    if NO_EXPERIMENT in done.stderr:
        return None
    if done.returncode != 0:
        return f"**`{path}`** has errors:\n\n{_fenced(done.stderr)}"
    if status == "A":
        return f"**`{path}`** is new.\n\n<details><summary>its plan</summary>\n\n{_fenced(done.stdout)}\n\n</details>"
    return None if _says_equal(done.stdout) else f"**`{path}`**\n\n{_fenced(done.stdout)}"


def _rlc(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rlc", "--color", "never", *command],
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=_git("rev-parse", "--show-toplevel").strip(),
    )


def _says_equal(text: str) -> bool:
    return text.rstrip().endswith("no difference")


def _fenced(text: str) -> str:
    """A block of text as it is; what is in it cannot end it."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}text\n{text.strip()}\n{fence}"


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], check=True, capture_output=True, text=True, encoding="utf-8")
    return done.stdout


def main() -> int:
    """Print the report that the command line asks for."""
    parser = argparse.ArgumentParser(description="What a change of specs changes in their plans.")
    parser.add_argument("--base", required=True, help="the revision to compare with")
    parser.add_argument("folders", nargs="*", help="folders whose specs are all compared")
    given = parser.parse_args()
    try:
        sys.stdout.write(report(given.base, given.folders))
    except subprocess.CalledProcessError as fault:
        why = str(fault.stderr).strip()
        sys.stderr.write(f"git {' '.join(fault.cmd[1:])}: {why}\nIs {given.base} fetched (fetch-depth: 0)?\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
