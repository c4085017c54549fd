"""The loader on real files: what can be wrong with one, where `use` leads, and what comes out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from compiler.diagnostics.diagnostic import Diagnostic
from compiler.diagnostics.reporter import Reporter
from compiler.frontend.loader import Loaded, load
from compiler.frontend.session import Session
from compiler.frontend.value import Leaf, node_at, plain

TINY = '[model]\nfamily = "qwen3"\nnum_layers = 2\nhidden_size = 64\n'


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A folder `exp` for specs beside a small standard library."""
    write(tmp_path, "stdlib/recipes/grpo.toml", 'use = ["//recipes:base"]\n[optim]\nlr = 1e-6\n')
    write(tmp_path, "stdlib/recipes/base.toml", "[optim]\nlr = 1e-5\nbeta2 = 0.95\n")
    write(tmp_path, "stdlib/models/tiny_qwen3.toml", TINY)
    (tmp_path / "exp").mkdir()
    return tmp_path


def write(lab: Path, name: str, text: str | bytes) -> Path:
    path = lab / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def loaded(lab: Path, name: str = "exp/a.toml", *sets: str) -> tuple[Loaded | None, list[Diagnostic]]:
    reporter = Reporter()
    return load(lab / name, sets, Session(lab / "stdlib"), reporter), reporter.diagnostics


def only(lab: Path, name: str = "exp/a.toml") -> Diagnostic:
    value, found = loaded(lab, name)
    assert value is None
    assert len(found) == 1
    return found[0]


def test_a_spec_its_recipes_its_model_and_its_overrides_become_one_value(lab: Path) -> None:
    write(lab, "exp/a.toml", 'use = ["//recipes:grpo"]\n[model]\nname = "//models:tiny_qwen3"\nhidden_size = 32\n')
    value, found = loaded(lab, "exp/a.toml", "optim.beta1=0.8")
    assert found == []
    assert value is not None
    assert plain(value.value) == {
        "optim": {"lr": 1e-6, "beta2": 0.95, "beta1": 0.8},
        "model": {"name": "//models:tiny_qwen3", "hidden_size": 32, "family": "qwen3", "num_layers": 2},
    }
    names = [source.name for source in value.sources]
    stdlib = ["//recipes/grpo.toml", "//recipes/base.toml", "--set", "//models/tiny_qwen3.toml"]
    assert names == [str(lab / "exp/a.toml"), *stdlib]
    lr = node_at(value.value, "optim", "lr")
    assert isinstance(lr, Leaf)
    assert (str(lr.span), str(lr.shadowed[0].span)) == ("//recipes/grpo.toml:3", "//recipes/base.toml:2")


def test_a_model_named_by_an_override_is_loaded(lab: Path) -> None:
    write(lab, "exp/a.toml", "name = 'x'\n")
    value, found = loaded(lab, "exp/a.toml", "model.name=//models:tiny_qwen3")
    assert found == []
    assert value is not None
    assert node_at(value.value, "model", "num_layers") is not None


def test_a_model_and_a_recipe_that_disagree_are_reported_and_the_spec_settles_it(lab: Path) -> None:
    write(lab, "exp/r.toml", "[model]\nnum_layers = 3\n")
    head = 'use = ["r.toml"]\n[model]\nname = "//models:tiny_qwen3"\n'
    write(lab, "exp/a.toml", head)
    value, found = loaded(lab)
    assert value is not None
    assert [d.code for d in found] == ["RLC0210"]
    write(lab, "exp/a.toml", head + "num_layers = 4\n")
    assert loaded(lab)[1] == []


def test_a_missing_file_is_reported_with_the_nearest_names(lab: Path) -> None:
    write(lab, "exp/grpo_math.toml", "a = 1")
    found = only(lab, "exp/grpo_mth.toml")
    assert found.code == "RLC0001"
    assert found.help[0].text == f"did you mean {lab}/exp/grpo_math.toml?"
    assert only(lab, "exp/grpo_math").help[0].text == f"did you mean {lab}/exp/grpo_math.toml?"
    assert only(lab, "nowhere/a.toml").help[0].text == f"there is no folder {lab}/nowhere"


def test_a_directory_is_reported_with_the_files_in_it(lab: Path) -> None:
    write(lab, "exp/a.toml", "a = 1")
    found = only(lab, "exp")
    assert (found.code, found.help[0].text) == ("RLC0002", f"name a file: {lab}/exp/a.toml")


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.toml", b"", "RLC0004"),
        ("a.toml", b"\xef\xbb\xbf \r\n\t", "RLC0004"),
        ("a.toml", b"a = 1\0", "RLC0005"),
        ("a.yaml", b"a: 1", "RLC0007"),
        ("a", b"a = 1", "RLC0007"),
        ("a.star", b"", "RLC0004"),
        ("a.star", b"a = 1\0", "RLC0005"),
        ("a.star", b"a = '\xff'", "RLC0006"),
        ("a.star", b"[" * (2**20 + 1), "RLC0008"),
        ("a.star", b"a = 1", "RLC0156"),
        ("a.toml", b"[" * (2**20 + 1), "RLC0008"),
        ("a.toml", b"a = [", "RLC0101"),
    ],
)
def test_each_way_in_which_a_file_is_none_has_its_code(lab: Path, name: str, data: bytes, code: str) -> None:
    write(lab, f"exp/{name}", data)
    assert only(lab, f"exp/{name}").code == code


def test_the_first_byte_that_is_not_utf8_is_shown_with_its_line(lab: Path) -> None:
    write(lab, "exp/a.toml", "\ufeffa = 1\r\nb = 2 # gr".encode() + b"\xfcn\r\n")
    found = only(lab)
    assert found.code == "RLC0006"
    assert found.message.endswith("is not UTF-8: byte 20, on line 2")
    assert found.labels[0].span.file.position(found.labels[0].span.start) == (2, 11)


def test_what_is_no_regular_file_is_not_opened(lab: Path) -> None:
    os.mkfifo(lab / "exp/a.toml")
    assert only(lab).code == "RLC0003"


def test_a_path_that_no_file_can_have_is_a_diagnostic(lab: Path) -> None:
    assert only(lab, "exp/a\0.toml").code == "RLC0003"
    assert only(lab, "exp/" + "a" * 5000 + ".toml").code == "RLC0003"
    (lab / "exp/loop.toml").symlink_to("loop.toml")
    assert only(lab, "exp/loop.toml").code in ("RLC0001", "RLC0003")


def test_an_unknown_recipe_or_model_is_reported_with_the_nearest_name(lab: Path) -> None:
    write(lab, "exp/a.toml", 'use = ["//recipes:gropo"]')
    found = only(lab)
    assert (found.code, found.labels[0].span.text) == ("RLC0010", '"//recipes:gropo"')
    assert found.help[0].text == 'write "//recipes:grpo"'
    write(lab, "exp/a.toml", '[model]\nname = "tiny_qwen"')
    assert only(lab).help[0].text == 'write "//models:tiny_qwen3"'
    write(lab, "exp/a.toml", 'use = ["//recipes:../models/tiny_qwen3"]')
    assert only(lab).code == "RLC0010"


def test_a_recipe_is_one_file(lab: Path) -> None:
    write(lab, "stdlib/recipes/dapo.star", "def dapo():\n    return fragment(optim = dict(lr = 1e-5))\n")
    write(lab, "exp/a.toml", 'use = ["//recipes:dapo"]')
    value, found = loaded(lab)
    assert found == []
    assert value is not None
    assert plain(value.value) == {"optim": {"lr": 1e-5}}
    write(lab, "stdlib/recipes/dapo.toml", "optim.lr = 1e-5")
    assert only(lab).code == "RLC0151"


def test_a_family_of_models_lies_in_one_file(lab: Path) -> None:
    family = "def qwen9_4b(**changes):\n    return model(name = '//models:qwen9_4b', facts = {'num_layers': 7})\n"
    write(lab, "stdlib/models/qwen9.star", family)
    write(lab, "exp/a.toml", '[model]\nname = "//models:qwen9_4b"')
    value, found = loaded(lab)
    assert found == []
    assert value is not None
    assert plain(value.value) == {"model": {"name": "//models:qwen9_4b", "num_layers": 7}}
    write(lab, "exp/a.toml", '[model]\nname = "//models:qwen9_8b"')
    assert only(lab).code == "RLC0155"
    write(lab, "exp/a.toml", '[model]\nname = "//models:qwen8_4b"')
    assert only(lab).help[0].text == 'write "//models:qwen9_4b"'


def test_a_path_is_relative_to_the_file_that_names_it(lab: Path) -> None:
    write(lab, "exp/a.toml", 'use = ["sub/b.toml"]')
    write(lab, "exp/sub/b.toml", 'use = ["c.toml", "../d.toml"]')
    write(lab, "exp/sub/c.toml", "c = 1")
    write(lab, "exp/d.toml", "d = 1")
    value, found = loaded(lab)
    assert found == []
    assert value is not None
    assert plain(value.value) == {"c": 1, "d": 1}
    assert [source.name for source in value.sources] == [
        str(lab / "exp" / name) for name in ("a.toml", "sub/b.toml", "sub/c.toml", "d.toml")
    ]


def test_a_path_may_not_leave_the_root_not_even_by_a_link(lab: Path) -> None:
    write(lab, "shared.toml", "x = 1")
    (lab / "exp/link.toml").symlink_to(lab / "shared.toml")
    for path in ("../shared.toml", "link.toml", str(lab / "shared.toml"), str(lab / "exp/a.toml")):
        write(lab, "exp/a.toml", f'use = ["{path}"]')
        assert only(lab).code == "RLC0011"


def test_the_nearest_folder_with_an_rlc_toml_is_the_root(lab: Path) -> None:
    write(lab, "shared.toml", "x = 1")
    write(lab, "rlc.toml", "rlc = 1\n")
    write(lab, "exp/a.toml", 'use = ["../shared.toml"]')
    value, found = loaded(lab)
    assert found == []
    assert value is not None
    assert value.root == lab.resolve()
    write(lab, "exp/rlc.toml", "")
    assert only(lab).code == "RLC0011"


@pytest.mark.parametrize(
    "text", ["x = 1", "rlc = 2", "rlc = true", "[colours]\na = 'b'", "roots = 3", "[roots]\na = 3"]
)
def test_an_rlc_toml_that_says_more_is_reported(lab: Path, text: str) -> None:
    write(lab, "rlc.toml", text)
    write(lab, "exp/a.toml", "a = 1")
    assert [d.code for d in loaded(lab)[1]] == ["RLC0014"]


def test_a_cycle_is_printed_with_each_use_on_it(lab: Path) -> None:
    write(lab, "exp/a.toml", 'use = ["b.toml", "c.toml"]')
    write(lab, "exp/b.toml", 'use = ["c.toml"]')
    write(lab, "exp/c.toml", 'x = 1\nuse = ["b.toml"]')
    found = only(lab)
    names = [str(lab / "exp" / name) for name in ("b.toml", "c.toml", "b.toml")]
    assert found.code == "RLC0012"
    assert found.message.endswith(": " + " -> ".join(names))
    assert [str(x.span) for x in found.labels] == [f"{lab}/exp/b.toml:1", f"{lab}/exp/c.toml:2"]


def test_a_file_that_uses_itself_is_a_cycle(lab: Path) -> None:
    write(lab, "exp/a.toml", 'use = ["./a.toml"]')
    assert only(lab).code == "RLC0012"


def test_a_recipe_reached_twice_is_read_once_at_its_nearest_distance(lab: Path) -> None:
    write(lab, "exp/a.toml", 'use = ["b.toml", "c.toml"]')
    write(lab, "exp/b.toml", 'use = ["c.toml"]\nx = 1')
    write(lab, "exp/c.toml", "x = 2")
    assert [d.code for d in loaded(lab)[1]] == ["RLC0210"]


def test_use_that_leads_too_far_is_stopped(lab: Path) -> None:
    for i in range(40):
        write(lab, f"exp/f{i}.toml", f'use = ["f{i + 1}.toml"]')
    found = only(lab, "exp/f0.toml")
    assert (found.code, found.labels[0].span.file.name) == ("RLC0016", f"{lab}/exp/f16.toml")
    names = [f"r{i}.toml" for i in range(300)]
    for name in names:
        write(lab, f"exp/{name}", "a = 1")
    write(lab, "exp/a.toml", f"use = {names}")
    assert only(lab).code == "RLC0016"


@pytest.mark.parametrize("use", ['"//recipes:grpo"', "[1]", '["grpo"]', '["a\\u0000.toml"]', "{a = 1}", '["sub/"]'])
def test_a_malformed_use_is_reported(lab: Path, use: str) -> None:
    write(lab, "exp/a.toml", f"use = {use}")
    assert only(lab).code == "RLC0015"


@pytest.mark.parametrize("text", [TINY + "[optim]\nlr = 1", "model = 1", "x = 1", 'use = []\n[model]\nfamily = "x"'])
def test_a_model_file_that_says_more_is_reported(lab: Path, text: str) -> None:
    write(lab, "stdlib/models/tiny_qwen3.toml", text)
    write(lab, "exp/a.toml", '[model]\nname = "//models:tiny_qwen3"')
    assert only(lab).code == "RLC0013"


def test_all_faults_of_several_files_are_reported_at_once(lab: Path) -> None:
    write(lab, "exp/a.toml", 'use = ["b.toml", "c.toml", "//recipes:nope"]\n[model]\nname = "//models:nope"')
    write(lab, "exp/b.toml", "x = ")
    value, found = loaded(lab, "exp/a.toml", "nonsense")
    assert value is None
    assert sorted(d.code for d in found) == ["RLC0001", "RLC0010", "RLC0010", "RLC0101", "RLC0110"]


def test_overrides_that_make_no_sense_do_not_hide_the_value(lab: Path) -> None:
    write(lab, "exp/a.toml", "a = 1")
    value, found = loaded(lab, "exp/a.toml", "nonsense")
    assert [d.code for d in found] == ["RLC0110"]
    assert value is not None
    assert plain(value.value) == {"a": 1}
