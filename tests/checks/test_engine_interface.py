"""How an engine takes its settings is read from the text of its package, and compared with what is kept."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest

from checks.engine_interface import interface, wordless
from checks.engine_options import main, options

FIELDS = "sglang/srt/arg_groups/fields/exec_.py"
SGLANG = {
    FIELDS: """
class Exec:
    plain: A[int, "help"] = 1
    turned: A[bool, Arg(help="x", action=argparse.BooleanOptionalAction)] = True
    other_word: A[str, Arg(cli_name="--word")] = ""
    same_word: A[str, Arg(cli_name="--same-word")] = ""
    inner: A[bool, Arg(no_cli=True)] = False
    by_hand: A[bool, Arg(no_cli=True)] = False
""",
    "sglang/srt/server_args.py": 'parser.add_argument("--by-hand")',
}
CONFIG = "megatron/core/transformer/transformer_config.py"
MEGATRON = {
    CONFIG: """
class TransformerConfig(ModelParallelConfig):
    layers: int = 0
    _inner: int = 0
    act: Callable = gelu
class MLATransformerConfig(TransformerConfig):
    layers: int = 2
    rank: int = 512
""",
    "megatron/core/model_parallel_config.py": "class ModelParallelConfig:\n    tp: int = 1\n",
    "megatron/core/optimizer/optimizer_config.py": "class OptimizerConfig:\n    lr: float = 0.0\n",
    "megatron/core/distributed/distributed_data_parallel_config.py": """
class DistributedDataParallelConfig:
    a: bool
""",
    "megatron/core/models/gpt/gpt_model.py": """
class GPTModel:
    def __init__(self, config: Config, vocab: int, kind: Literal['a', 'b'] = 'a', far: Optional[float] = None): ...
""",
    "megatron/core/optimizer_param_scheduler.py": """
class OptimizerParamScheduler:
    def __init__(self, max_lr: float): ...
""",
    "megatron/core/parallel_state.py": "def initialize_model_parallel(tp: int = 1, rank: Callable = None): ...\n",
}


def packed(folder: Path, files: Mapping[str, str]) -> Path:
    """Return a wheel with these files."""
    wheel = folder / "package.whl"
    with ZipFile(wheel, "w") as package:
        for name, text in files.items():
            package.writestr(name, text)
    return wheel


def test_switches_and_words_of_a_command_line_are_read() -> None:
    found = tomllib.loads(interface("sglang", SGLANG, {"other_word": "str", "same_word": "str"}))
    assert found == {"argv": {"negatable": ["turned"], "renamed": {"other_word": "--word"}}}


def test_a_field_without_a_word_is_no_option_unless_the_parser_adds_it_by_hand() -> None:
    assert wordless(SGLANG) == {"inner"}
    assert wordless({}) == set()


def test_a_text_of_which_only_some_are_taken_is_a_choice(tmp_path: Path) -> None:
    fields = """
class Exec:
    listed: A[Optional[str], Arg(help="x", choices=["b", "a"])] = None
    named: A[str, Arg(choices=BACKENDS + ["c"])] = ""
    or_a_number: A[Union[int, str], Arg(choices=("a",))] = ""
    parsed: A[str, Arg(choices=["a"], type_parser=json.loads)] = ""
    several: A[list[str], Arg(choices=["a"], nargs="*")] = ""
    of_numbers: A[int, Arg(choices=[0, 2])] = 0
    elsewhere: A[str, Arg(choices=Backend.ALL)] = ""
"""
    named = "BACKENDS = ['a', 'b']\n"
    package = packed(tmp_path, SGLANG | {FIELDS: fields, "sglang/srt/arg_groups/choices.py": named})
    assert options("sglang", package) == {
        "listed": 'Literal["b", "a"]',
        "named": 'Literal["a", "b", "c"]',
        "or_a_number": 'int | Literal["a"]',
        "parsed": "str",
        "several": "tuple[str, ...]",
        "of_numbers": "int",
        "elsewhere": "str",
    }


def test_records_hold_what_their_bases_hold_and_what_extends_one_is_listed_by_what_it_adds() -> None:
    found = tomllib.loads(interface("megatron", MEGATRON, {}))
    assert found["records"] == {
        "TransformerConfig": ["act", "layers", "tp"],
        "MLATransformerConfig": ["rank"],
        "OptimizerConfig": ["lr"],
        "DistributedDataParallelConfig": ["a"],
    }
    assert found["extends"] == {"MLATransformerConfig": "TransformerConfig"}


def test_arguments_that_only_code_can_give_are_left_out() -> None:
    assert tomllib.loads(interface("megatron", MEGATRON, {}))["calls"] == {
        "GPTModel": {"vocab": "int", "kind": 'Literal["a", "b"]', "far": "float"},
        "OptimizerParamScheduler": {"max_lr": "float"},
        "initialize_model_parallel": {"tp": "int"},
    }


def test_a_kept_file_is_compared_with_a_package_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wheel, kept = packed(tmp_path, SGLANG), tmp_path / "sglang-1.toml"
    kept.write_text('engine = "sglang"\n')
    assert main([str(kept), str(wheel)]) == 0
    assert list(tomllib.loads(kept.read_text())["options"]) == sorted(options("sglang", wheel))
    assert main(["--check", str(kept), str(wheel)]) == 0
    kept.write_text(kept.read_text().replace('plain = "int"', 'plain = "str"'))
    before = kept.read_text()
    capsys.readouterr()
    assert main(["--check", str(kept), str(wheel)]) == 1
    assert '-plain = "str"\n+plain = "int"\n' in capsys.readouterr().out
    assert kept.read_text() == before
