"""Settings are read from the text of a package: names, and what a TOML value may be for each annotation."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from checks.engine_options import options, rewritten
from compiler.ir.kinds import parse_annotation

CLASS = "class EngineArgs:\n    value: {}\n    _hidden: int = 0\n    not_annotated = 1\n    def method(self): ...\n"


def vllm(tmp_path: Path, annotation: str, *, config: str = "") -> dict[str, str]:
    wheel = tmp_path / "package.whl"
    with ZipFile(wheel, "w") as package:
        package.writestr("vllm/engine/arg_utils.py", CLASS.format(annotation))
        package.writestr("vllm/config/model.py", config)
        package.writestr("vllm/other.py", "this is no Python")
    return options("vllm", wheel)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        ("int", "int"),
        ("Optional[float] = None", "float"),
        ("str | list[str] | None", "str | tuple[str, ...]"),
        ("Union[int, List[int]] = 3", "int | tuple[int, ...]"),
        ("'bool | None'", "bool"),
        ("A[Optional[int], Arg(help='x')] = None", "int"),
        ("Literal['a', 'b', None]", 'Literal["a", "b"]'),
        ("Literal[1, 8]", "int"),
        ("dict[str, int]", "str"),
        ("CompilationConfig", "str"),
        ("torch.dtype | None", "str"),
    ],
)
def test_an_annotation_says_what_a_spec_may_hold(annotation: str, kind: str, tmp_path: Path) -> None:
    assert vllm(tmp_path, annotation) == {"value": kind}
    assert parse_annotation(kind, {}).atoms


def test_what_only_code_can_give_is_no_setting(tmp_path: Path) -> None:
    assert vllm(tmp_path, "Optional[Callable] = None") == {}


def test_a_named_choice_is_looked_up(tmp_path: Path) -> None:
    config = "Kind = Literal['x', 'y']\nOption = Literal['auto', Kind]\n"
    assert vllm(tmp_path, "Option", config=config) == {"value": 'Literal["auto", "x", "y"]'}


def test_rewriting_keeps_what_stands_above() -> None:
    before = '# about\nengine = "x"\n\n[options]\nold = "int"\n'
    after = rewritten(before, {"a": "int", "b": 'Literal["c"]'})
    assert after == '# about\nengine = "x"\n\n[options]\na = "int"\nb = \'Literal["c"]\'\n'
    assert rewritten(after, {"a": "int", "b": 'Literal["c"]'}) == after
