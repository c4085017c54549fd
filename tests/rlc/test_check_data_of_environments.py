"""`rlc check --data` of experiments with tools: prompts are as long as they will be, documents are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rlc.cli.main import main
from runtime.data.byte_tokenizer import ByteTokenizer
from stdlib.tools.calculator import open_tool
from tests.rlc.test_check_data import HELDOUT, SPEC, TRAIN

pytestmark = pytest.mark.torch

Captured = pytest.CaptureFixture[str]

OWN = """def look(word: str) -> str:
    \"\"\"Look.

    Args:
        word: A word.
    \"\"\"
    return word


open("ran", "w").close()
"""


def checked(folder: Path, capsys: Captured, environment: str, *, limit: int = 400) -> str:
    model = 'weights = "random"\nvocab_size = 258\ntokenizer = { kind = "bytes" }'
    text = SPEC.replace('weights = "random"', model).replace("max_prompt_tokens = 6", f"max_prompt_tokens = {limit}")
    for name in ("train", "heldout"):
        chat = f'path = "{name}.jsonl"\napply_chat_template = true'
        text = text.replace(f'path = "{name}.jsonl"', chat)
    (folder / "spec.toml").write_text(
        f"{text}\n[environment]\nmax_observation_tokens = 16\nmax_turns = 2\n{environment}\n"
    )
    (folder / "train.jsonl").write_text(TRAIN)
    (folder / "heldout.jsonl").write_text(HELDOUT)
    main(["check", str(folder / "spec.toml"), "--data"])
    shown = capsys.readouterr()
    return shown.out + shown.err


def test_prompts_are_counted_with_what_they_tell_of_the_tools(tmp_path: Path, capsys: Captured) -> None:
    shown = checked(tmp_path, capsys, 'name = "tools"\ntools = [{ name = "calculator" }]')
    tools = [open_tool(None, root=tmp_path).schema]
    longest = len(ByteTokenizer().encode(ByteTokenizer().chat_text([{"role": "user", "content": "7+7="}], tools)))
    assert f"the longest prompt of {longest:,} tokens" in shown


def test_a_tool_of_ones_own_is_named_and_not_run(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "own.py").write_text(OWN)
    shown = checked(tmp_path, capsys, 'name = "tools"\ntools = [{ name = "own.py:look" }]')
    assert "own.py:look: what prompts tell of it is not counted: a check runs no code" in shown
    assert not (tmp_path / "ran").exists()


def test_documents_are_read(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "documents.jsonl").write_text(json.dumps({"text": "Berlin"}))
    shown = checked(tmp_path, capsys, 'name = "search"\nsearch.documents = "documents.jsonl"')
    assert "RLC0747" in shown
    assert "documents.jsonl:1 has no text under 'contents'" in shown


def test_what_an_environment_needs_of_a_row_is_looked_for(tmp_path: Path, capsys: Captured) -> None:
    shown = checked(tmp_path, capsys, 'name = "sliding_puzzle"')
    assert "RLC0748" in shown
