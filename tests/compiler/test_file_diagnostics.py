"""Files that no text can stand for: missing, empty, binary, too large, in a wrong encoding.  Same golden mechanism.

Each is made in an empty folder and compiled from there.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from rlc.catalogue import scan
from rlc.cli.main import main
from tests.compiler.bad_specs import rendered, working_in
from tests.support.good_spec import GPU, spec_text

GOOD = spec_text({}).encode()

BYTES = {
    "RLC0004_empty": b"",
    "RLC0004_nothing_but_blanks": b"\xef\xbb\xbf\r\n \t\r\n",
    "RLC0005_binary": b"\x7fELF\x02\x01\x01\x00\x00",
    "RLC0006_latin_1": b'name = "caf\xe9"\n',
    "RLC0006_utf_16_without_zeros": b"\xff\xfe\x41\x41",
    "RLC0008_ten_megabytes_of_brackets": b"[" * (10 * 2**20),
    "RLC0103_a_mebibyte_of_brackets": b"a = " + b"[" * (2**20 - 4),
    "RLC0101_a_single_bracket": b"[",
    "RLC0101_a_carriage_return": b"a = 1\rb = 2\n",
}


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_spec(name: str, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    (tmp_path / "spec.toml").write_bytes(BYTES[name])
    golden(f"diagnostics/{name}.txt", compiled_in(tmp_path, "spec.toml", code=name[:7]))


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_recipe(name: str, tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_bytes(GOOD.replace(b'["//recipes:grpo"]', b'["//recipes:grpo", "base.toml"]'))
    (tmp_path / "base.toml").write_bytes(BYTES[name])
    assert "base.toml" in compiled_in(tmp_path, "spec.toml", code=name[:7])


def test_a_file_that_is_not_there(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    (tmp_path / "grpo_math.toml").write_bytes(GOOD)
    golden("diagnostics/RLC0001_missing.txt", compiled_in(tmp_path, "grpo_mth.toml", code="RLC0001"))


def test_a_folder_that_is_not_there(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    golden("diagnostics/RLC0001_missing_folder.txt", compiled_in(tmp_path, "lab/spec.toml", code="RLC0001"))


def test_a_directory(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab/one.toml").write_bytes(GOOD)
    golden("diagnostics/RLC0002_a_directory.txt", compiled_in(tmp_path, "lab", code="RLC0002"))


def test_a_pipe(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    os.mkfifo(tmp_path / "spec.toml")
    golden("diagnostics/RLC0003_a_pipe.txt", compiled_in(tmp_path, "spec.toml", code="RLC0003"))


def test_a_chain_of_recipes_without_an_end(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    for i in range(20):
        (tmp_path / f"r{i}.toml").write_text(f'use = ["r{i + 1}.toml"]\n')
    golden("diagnostics/RLC0016_a_long_chain.txt", compiled_in(tmp_path, "r0.toml", code="RLC0016"))


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").symlink_to("spec.toml")
    assert "too many levels of symbolic links" in compiled_in(tmp_path, "spec.toml", code="RLC0003")


def test_a_file_of_another_kind(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    (tmp_path / "spec.yaml").write_bytes(b"name: case\n")
    golden("diagnostics/RLC0007_yaml.txt", compiled_in(tmp_path, "spec.yaml", code="RLC0007"))


def test_a_model_file_that_says_more_than_a_model(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    (tmp_path / "spec.toml").write_bytes(GOOD)
    library = tmp_path / "library"
    (library / "recipes").mkdir(parents=True)
    (library / "models").mkdir()
    (library / "recipes/grpo.toml").write_text('[algo]\nname = "grpo"\n')
    (library / "models/tiny_qwen3.toml").write_text('[model]\nfamily = "qwen3"\n\n[optim]\nlr = 1e-3\n')
    with working_in(tmp_path):
        compiled = compile_spec(Path("spec.toml"), scan()._replace(stdlib=library))
    assert [d.code for d in compiled.diagnostics] == ["RLC0013"]
    golden("diagnostics/RLC0013_a_model_that_says_more.txt", rendered(compiled.diagnostics))


def test_custom_code_that_is_not_python(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    (tmp_path / "spec.toml").write_bytes(GOOD.replace(b'"exact"', b'"rewards.py:near"'))
    (tmp_path / "rewards.py").write_text("def near(sample:\n")
    golden("diagnostics/RLC0209_not_python.txt", compiled_in(tmp_path, "spec.toml", code="RLC0209"))


@pytest.mark.parametrize(
    ("verb", "name", "data"),
    [
        ("plan", "missing.toml", None),
        ("check", "missing.toml", None),
        ("run", "missing.toml", None),
        ("plan", "spec.toml", b""),
        ("plan", "spec.toml", b"\x00"),
        ("plan", "spec.toml", b"\xff"),
        ("plan", "spec.toml", b"[" * (10 * 2**20)),
        ("plan", "spec.toml", b'use = ["spec.toml"]'),
        ("plan", "spec.toml", GOOD.replace(b"model.name", b'model.hf = "nowhere"\nmodel.name')),
        ("run", "spec.toml", b"\xff"),
    ],
)
def test_bad_input_ends_with_code_1_and_a_coded_diagnostic(
    verb: str,
    name: str,
    data: bytes | None,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    assert main([verb, str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error[RLC0")
    assert name in said
    assert sorted(p.name for p in tmp_path.iterdir()) == ([] if data is None else [name])


def test_what_a_target_cannot_execute_today_can_be_planned_and_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, run_dir = tmp_path / "spec.toml", tmp_path / "run"
    spec.write_text(spec_text({}, base=GPU))
    assert main(["plan", str(spec)]) == 0
    assert main(["run", str(spec), "--run-dir", str(run_dir)]) == 1
    assert capsys.readouterr().err.startswith("error[RLC0503]: target cuda cannot execute this plan today")
    assert not run_dir.exists()


def test_the_spec_that_these_are_made_of_compiles(tmp_path: Path) -> None:
    (tmp_path / "spec.toml").write_bytes(GOOD)
    assert compile_spec(tmp_path / "spec.toml", scan()).diagnostics == ()


def compiled_in(folder: Path, name: str, *, code: str) -> str:
    with working_in(folder):
        compiled = compile_spec(Path(name), scan())
    assert compiled.plan is None
    assert [d.code for d in compiled.diagnostics] == [code]
    return rendered(compiled.diagnostics)
