"""Prompts: what becomes of rows, and what is said about rows that cannot be used."""

import json
from pathlib import Path
from typing import Never

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.data import TrainSource
from runtime.data.prompts import PromptSet, load_prompts
from runtime.data.tokenizers import CharacterTokenizer
from tests.support.data_sources import jsonl

pytestmark = pytest.mark.torch

DIGITS = CharacterTokenizer("0123456789+=")


def load(root: Path, *sources: TrainSource[Never], most: int = 100, drop: bool = False) -> PromptSet:
    policy = "drop" if drop else "error"
    return load_prompts(sources or [jsonl("d.jsonl")], DIGITS, root=root, max_prompt_tokens=most, overlong=policy)


def write(root: Path, *rows: object, name: str = "d.jsonl") -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (root / name).write_text("".join(line + "\n" for line in lines))


def faults(root: Path, *sources: TrainSource[Never], most: int = 100, drop: bool = False) -> tuple[Diagnostic, ...]:
    with pytest.raises(SpecError) as caught:
        load(root, *sources, most=most, drop=drop)
    return caught.value.diagnostics


def test_rows_become_prompts_in_the_order_of_the_files(tmp_path: Path) -> None:
    write(tmp_path, {"q": "1+1=", "a": 2, "why": {"level": 3}}, name="one.jsonl")
    write(tmp_path, {"input": "2+2=", "label": "4"}, {"input": "3", "label": None}, name="two.jsonl")
    one = jsonl("one.jsonl", input_key="q", label_key="a", metadata_key="why")
    found = load(tmp_path, one, jsonl("two.jsonl")).prompts
    assert [(p.row, p.source, p.text, p.label, p.metadata) for p in found] == [
        (0, "one.jsonl:1", "1+1=", 2, {"level": 3}),
        (1, "two.jsonl:1", "2+2=", "4", None),
        (2, "two.jsonl:2", "3", None, None),
    ]
    assert found[0].tokens == DIGITS.encode("1+1=")


def test_blank_lines_at_the_end_and_a_byte_order_mark_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(b'\xef\xbb\xbf{"input": "1", "label": "1"}\r\n\n \n')
    assert len(load(tmp_path).prompts) == 1


def test_a_missing_key_names_the_nearest_one_at_its_line(tmp_path: Path) -> None:
    write(tmp_path, {"input": "1", "label": "1"}, {"input": "1", "lable": "1"})
    (fault,) = faults(tmp_path)
    assert (fault.code, fault.message) == ("RLC0602", 'd.jsonl:2 has no key "label"')
    assert fault.help[0].text == 'the row has the key "lable"'
    assert str(fault.labels[0].span) == "d.jsonl:2"
    assert fault.labels[0].span.text == '{"input": "1", "lable": "1"}'


def test_every_fault_is_reported_at_once_with_its_line(tmp_path: Path) -> None:
    write(tmp_path, '{"input": 1, "label": ', [1], "", {"input": 5, "label": "1"}, {"input": "a", "label": "1"})
    found = faults(tmp_path)
    assert [(d.code, d.labels[0].span.line) for d in found] == [
        ("RLC0603", 1),
        ("RLC0603", 2),
        ("RLC0603", 3),
        ("RLC0603", 4),
        ("RLC0606", 5),
    ]
    assert "not JSON" in found[0].message
    assert found[0].labels[0].span.file.position(found[0].labels[0].span.start) == (1, 22)
    assert "a list" in found[1].message
    assert "is blank" in found[2].message
    assert "is a number" in found[3].message


def test_beyond_twenty_faults_the_rest_is_counted(tmp_path: Path) -> None:
    write(tmp_path, *[{"label": "1"}] * 50)
    found = faults(tmp_path)
    assert len(found) == 20
    assert found[-1].help[-1].text == "and 30 more rows at fault in the data"


def test_files_that_are_not_there_or_empty_are_all_named(tmp_path: Path) -> None:
    write(tmp_path, name="empty.jsonl")
    found = faults(tmp_path, jsonl("gone.jsonl"), jsonl("empty.jsonl"))
    assert [d.code for d in found] == ["RLC0601", "RLC0601"]
    assert "gone.jsonl cannot be read: No such file" in found[0].message
    assert found[1].message == "empty.jsonl has no rows"


def test_numbers_that_json_does_not_have_are_refused(tmp_path: Path) -> None:
    write(tmp_path, '{"input": "1", "label": NaN}')
    assert "NaN is no JSON number" in faults(tmp_path)[0].message
    write(tmp_path, '{"input": "1", "label": [1e999]}')
    assert "1e999 is no JSON number" in faults(tmp_path)[0].message


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d.jsonl").write_bytes(b'{"input": "1", "label": "1"}\n{"input": "\xff", "label": "1"}\n')
    (fault,) = faults(tmp_path)
    assert (fault.code, fault.labels[0].span.line) == ("RLC0603", 2)
    assert "UTF-8" in fault.message


def test_long_prompts_are_an_error_with_the_numbers(tmp_path: Path) -> None:
    write(tmp_path, *({"input": "1" * n, "label": "1"} for n in (2, 5, 9)))
    (fault,) = faults(tmp_path, most=4)
    assert fault.code == "RLC0605"
    assert fault.message == (
        "d.jsonl:2 has 5 tokens, but max_prompt_tokens = 4: 2 rows of 3 too long, the longest 9 tokens"
    )
    assert fault.help[0].text == "set rollout.max_prompt_tokens = 9"


def test_long_prompts_are_dropped_and_counted_when_asked(tmp_path: Path) -> None:
    write(tmp_path, *({"input": "1" * n, "label": "1"} for n in (2, 5, 9, 4)))
    found = load(tmp_path, most=4, drop=True)
    assert (len(found.prompts), found.num_overlong) == (2, 2)
    assert [p.row for p in found.prompts] == [0, 3]


def test_long_prompts_keep_their_last_tokens_and_are_counted_when_asked(tmp_path: Path) -> None:
    write(tmp_path, {"input": "12", "label": "1"}, {"input": "123456789", "label": "1"})
    found = load_prompts([jsonl("d.jsonl")], DIGITS, root=tmp_path, max_prompt_tokens=4, overlong="truncate")
    assert [(p.row, p.text, p.tokens) for p in found.prompts] == [
        (0, "12", DIGITS.encode("12")),
        (1, "6789", DIGITS.encode("6789")),
    ]
    assert found.num_overlong == 1


def test_dropping_every_row_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, {"input": "11", "label": "1"})
    assert faults(tmp_path, most=1, drop=True)[0].code == "RLC0609"


def test_an_empty_prompt_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"input": "", "label": "1"})
    assert faults(tmp_path)[0].code == "RLC0609"


@pytest.mark.parametrize("value", [[], [{"role": "user"}], [{"role": "user", "content": 3}], ["hi"], {"role": "user"}])
def test_malformed_messages_are_refused(tmp_path: Path, value: object) -> None:
    write(tmp_path, {"input": value, "label": "1"})
    assert faults(tmp_path)[0].code == "RLC0603"


def test_messages_need_a_chat_template(tmp_path: Path) -> None:
    write(tmp_path, {"input": [{"role": "user", "content": "1"}], "label": "1"})
    (fault,) = faults(tmp_path)
    assert (fault.code, fault.labels[0].span.line) == ("RLC0604", 1)
    write(tmp_path, {"input": "1", "label": "1"})
    assert faults(tmp_path, jsonl("d.jsonl", apply_chat_template=True))[0].code == "RLC0604"


def test_a_file_of_many_lines_has_right_line_numbers(tmp_path: Path) -> None:
    write(tmp_path, *[{"input": "1", "label": "1"}] * 5000, {"input": "1"})
    label = faults(tmp_path)[0].labels[0]
    assert str(label.span) == "d.jsonl:5001"
    assert label.span.text == '{"input": "1"}'
