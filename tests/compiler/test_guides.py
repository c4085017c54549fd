"""The guides: every spec in them has a plan, and their files are laid out."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from compiler.compile import compile_all, compile_spec
from compiler.diagnostics.span import SourceFile
from compiler.format.starlark import format_starlark
from rlc.catalogue import scan
from tests.support.good_spec import GRPO, spec_text
from tests.support.good_spec import compiled as compiled_with
from tests.support.launch_files import ARTEFACTS, files_of, shipped_plan

GUIDES = Path(__file__).parents[2] / "docs" / "guides"


def blocks_of(guide: str) -> list[tuple[str, str]]:
    """The language and the text of each block of a guide that is no command line."""
    found = re.findall(r"```(\w+)\n(.*?)```", (GUIDES / guide).read_text(encoding="utf-8"), re.DOTALL)
    return [(language, text) for language, text in found if language != "sh"]


def test_every_block_of_the_guide_to_constraints_compiles(tmp_path: Path) -> None:
    blocks = blocks_of("constraints.md")
    assert [language for language, _ in blocks] == ["toml", "toml", "python"]
    (tmp_path / "lab.star").write_text(blocks[-1][1])
    for _, text in blocks[:-1]:
        (tmp_path / "spec.toml").write_text(text)
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()
        assert compile_spec(tmp_path / "spec.toml", scan([tmp_path / "lab.star"])).diagnostics == ()


def test_the_spec_of_the_guide_to_preferences_compiles_and_its_reward_goes_with_another(tmp_path: Path) -> None:
    (_, spec), (_, reward) = blocks_of("preferences.md")
    for algorithm in ("reward_model_bt", "dpo"):
        read = spec if algorithm == "reward_model_bt" else spec.replace('margin_key = "margin"\n', "")
        (tmp_path / "spec.toml").write_text(read.replace("reward_model_bt", algorithm))
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()
    rollout = "[rollout]\nprompts_per_step = 8\nsamples_per_prompt = 8\nmax_response_tokens = 4\n"
    judged = spec.partition("[[data.train]]")[0].replace("reward_model_bt", "grpo")
    (tmp_path / "spec.toml").write_text(f'{judged}{rollout}{reward}[[data.train]]\npath = "prompts.jsonl"\n')
    assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()


def test_the_recipe_and_the_sweep_of_their_guide_compile(tmp_path: Path) -> None:
    (_, recipe), (_, sweep) = blocks_of("recipes_and_sweeps.md")
    for name, text in (("house.star", recipe), ("sweep.star", sweep)):
        (tmp_path / name).write_text(text)
        assert format_starlark(SourceFile(name, text), None) == text
    found = compile_all(tmp_path / "sweep.star", scan())
    assert [name for name, _ in found] == ["lr-1e-06-seed-0", "lr-1e-06-seed-1", "lr-2e-06-seed-0", "lr-2e-06-seed-1"]
    assert all(compiled.plan is not None for _, compiled in found)


def test_every_block_of_the_guide_to_the_buffer_compiles(tmp_path: Path) -> None:
    blocks = blocks_of("buffer.md")
    tables = [text for language, text in blocks if language == "toml"]
    assert len(tables) == 4
    for text in tables:
        (tmp_path / "spec.toml").write_text(spec_text({}) + text)
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()
    own = "".join(text for language, text in blocks if language == "python")
    (tmp_path / "own.py").write_text(own)
    fields = {"rollout.filter.name": "keeps", "rollout.buffer.selector": "freshest"}
    kept = {"rollout.buffer.max_staleness_steps": "8", "rollout.buffer.replay.frac": "0.25"}
    found = compiled_with(tmp_path, {**kept, **{field: f'"own.py:{name}"' for field, name in fields.items()}})
    assert found.diagnostics == ()


def test_every_block_of_the_guide_to_functions_of_ones_own_compiles(tmp_path: Path) -> None:
    blocks = blocks_of("own_functions.md")
    assert [language for language, _ in blocks] == ["toml", "python"] * 3
    (tmp_path / "own.py").write_text("".join(text for language, text in blocks if language == "python"))
    for _, text in blocks[::2]:
        (tmp_path / "spec.toml").write_text(spec_text({}) + text)
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()


def test_every_table_of_the_guide_to_debugging_compiles(tmp_path: Path) -> None:
    tables = [text for language, text in blocks_of("debugging.md") if language == "toml"]
    assert len(tables) == 2
    for text in tables:
        (tmp_path / "spec.toml").write_text(spec_text({}) + text)
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()


def test_the_spec_of_the_guide_to_distillation_compiles(tmp_path: Path) -> None:
    ((language, text),) = blocks_of("distillation.md")
    assert language == "toml"
    (tmp_path / "spec.toml").write_text(text)
    assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()


def test_every_start_of_the_guide_to_moving_compiles_on_top_of_a_recipe(tmp_path: Path) -> None:
    blocks = blocks_of("moving_here.md")
    assert [language for language, _ in blocks] == ["toml"] * 4
    for _, text in blocks:
        (tmp_path / "spec.toml").write_text(spec_text({}, base=GRPO) + text)
        assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()


def test_every_setting_that_the_guide_to_moving_names_is_one() -> None:
    guide = (GUIDES / "moving_here.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(algo|loss|critic|reward)\.(?:[a-z_0-9]+\.)*([a-z_0-9]+)", guide))
    pages = {table: (GUIDES.parent / "reference" / f"{table}.md").read_text(encoding="utf-8") for table, _ in named}
    assert len(named) > 15
    assert {(table, leaf) for table, leaf in named if f"| `{leaf}` |" not in pages[table]} == set()


def test_the_launch_table_of_its_guide_is_read_by_every_artefact() -> None:
    (_, table) = blocks_of("artefacts.md")[0]
    settings = [f"launch.{path}={json.dumps(value)}" for path, value in _leaves(tomllib.loads(table)["launch"])]
    plan = shipped_plan("grpo_qwen3_4b.toml", ('run.executor="ray"', *settings))
    for artefact in ARTEFACTS:
        texts = "\n".join(files_of(artefact, plan).values())
        assert "/fleet/experiments" in texts
        assert "JUDGE_KEY" in texts


def _leaves(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, object]]:
    for name, value in table.items():
        yield from _leaves(value, f"{path}{name}.") if isinstance(value, dict) else [(f"{path}{name}", value)]
