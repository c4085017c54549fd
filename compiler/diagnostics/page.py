"""The page of a code: what it means, why it matters, an example, and how to mend it.

Codes of rules have their page in the rule's docstring; all others have a Markdown file in the folder `pages`.
"""

from __future__ import annotations

import re
from pathlib import Path

from compiler.diagnostics.named_tuple import NamedTuple

FOLDER = Path(__file__).parent / "pages"
HEADINGS = ("What", "Why it matters", "Example", "Fix")

_TITLE = re.compile(r"# (RLC\d{4}): (.+)")
_SECTION = re.compile(r"^(What|Why it matters|Example|Fix|Source): (\S+)", re.MULTILINE)


class Page(NamedTuple):
    """One code explained.

    `id` is the id in the rule catalogue (`BATCH-01`) where there is one; `rule` is the name of the rule's file, or
    empty; `text` is Markdown, from its title on.
    """

    code: str
    id: str
    rule: str
    title: str
    text: str


def read_pages(folder: Path = FOLDER) -> tuple[Page, ...]:
    """Return the pages of a folder, ordered by code.  Raises: ValueError naming a file without the fixed title."""
    return tuple(_read(path) for path in sorted(folder.glob("RLC*.md")))


def rule_page(*, code: str, id_: str, rule: str, docstring: str) -> Page:
    """Return the page that a rule's docstring is."""
    first, _, rest = docstring.strip().partition("\n")
    title = first.rstrip(".")
    body = _SECTION.sub(lambda found: f"## {found[1]}\n\n{_capital(found[2])}", rest.strip())
    body = re.sub(r"(?<!\n)\n(?=## )", "\n\n", body)
    heading = f"# {code}: {title}" + (f" ({id_})" if id_ else "")
    return Page(code, id_, rule, title, f"{heading}\n\n{body}\n")


def _capital(word: str) -> str:
    """The first word of a section; names of fields and files stay as they are."""
    return word[0].upper() + word[1:] if word.rstrip(",;:.").isalpha() and word != "rlc" else word


def _read(path: Path) -> Page:
    text = path.read_text(encoding="utf-8")
    found = _TITLE.match(text)
    if found is None or found[1] != path.stem:
        raise ValueError(f"{path.name} does not begin with `# {path.stem}: TITLE`")
    return Page(found[1], "", "", found[2].strip(), text)
