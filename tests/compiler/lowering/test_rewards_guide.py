"""The guide to rewards: every block in it stands in a spec that has a plan."""

from __future__ import annotations

import re
from pathlib import Path

from compiler.compile import compile_spec
from rlc.catalogue import scan
from tests.support.good_spec import GRPO

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "rewards.md"


def test_every_block_of_the_guide_compiles(tmp_path: Path) -> None:
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 8
    for block in blocks:
        left_out = {"reward.name", *(["data.train"] if "data.train" in block else [])}
        rest = "".join(f"{path} = {value}\n" for path, value in GRPO.items() if path not in left_out)
        (tmp_path / "spec.toml").write_text(rest + block)
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()
