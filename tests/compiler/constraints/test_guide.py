"""The guide to constraints: every spec in it has a plan, also under the policy that it shows."""

from __future__ import annotations

import re
from pathlib import Path

from compiler.compile import compile_spec
from rlc.catalogue import scan

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "constraints.md"


def test_every_block_of_the_guide_compiles(tmp_path: Path) -> None:
    blocks = re.findall(r"```(\w+)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert [language for language, _ in blocks] == ["toml", "toml", "python"]
    (tmp_path / "lab.star").write_text(blocks[-1][1])
    for _, text in blocks[:-1]:
        (tmp_path / "spec.toml").write_text(text)
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()
        assert compile_spec(tmp_path / "spec.toml", scan([tmp_path / "lab.star"])).diagnostics == ()
