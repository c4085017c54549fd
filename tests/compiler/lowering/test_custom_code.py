"""Rewards of an experiment's own: found and judged by their syntax tree, never imported, pinned by their digest."""

from __future__ import annotations

import ast
import hashlib
from pathlib import Path

import pytest

from compiler.ir.openness import OFF
from compiler.ir.reward_settings import COMBINED
from compiler.ir.rollout import CustomCode, Reward
from compiler.lowering.bind_reward import standard_level
from rlc.catalogue import scan
from tests.support.good_spec import Changes, compiled

LEAVES_A_MARK = 'from pathlib import Path\n\n(Path(__file__).parent / "imported").touch()\n\n\n'


def reward_of(folder: Path, name: str) -> Reward[object]:
    found = compiled(folder, {"reward.name": f'"{name}"'})
    assert found.plan is not None, [d.message for d in found.diagnostics]
    reward = found.plan.experiment.stages[0].reward
    assert isinstance(reward, Reward)
    return reward


def told(folder: Path, name: str, changes: Changes | None = None) -> list[tuple[str, str]]:
    found = compiled(folder, {"reward.name": f'"{name}"', **(changes or {})})
    return [(d.code, d.message) for d in found.diagnostics]


def write(folder: Path, text: str, name: str = "judge.py") -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


@pytest.mark.parametrize("level", ["sample", "group", "batch"])
@pytest.mark.parametrize("keyword", ["def", "async def"])
def test_the_first_parameter_says_what_one_call_is_given(tmp_path: Path, level: str, keyword: str) -> None:
    write(tmp_path, f"{keyword} score({level}, bonus=1.0, *rest, strict=False, **more):\n    return 0.0\n")
    assert reward_of(tmp_path, "judge.py:score").level == level


def test_compiling_never_imports_the_code(tmp_path: Path) -> None:
    write(tmp_path, f"{LEAVES_A_MARK}def score(sample):\n    return 0.0\n")
    assert reward_of(tmp_path, "judge.py:score").level == "sample"
    assert reward_of(tmp_path, "judge:score").level == "sample"
    assert not (tmp_path / "imported").exists()


def test_code_that_only_a_newer_interpreter_could_run_is_not_run(tmp_path: Path) -> None:
    write(tmp_path, 'import no_such_module_anywhere\nraise RuntimeError("at import")\ndef score(group): ...\n')
    assert reward_of(tmp_path, "judge.py:score").level == "group"


def test_the_plan_holds_the_file_and_its_digest(tmp_path: Path) -> None:
    text = "def score(sample):\n    return 1.0\n"
    write(tmp_path, text)
    digest = hashlib.sha256(text.encode()).hexdigest()
    assert reward_of(tmp_path, "judge.py:score").code == CustomCode(path="judge.py", function="score", sha256=digest)


def test_changed_code_is_another_plan(tmp_path: Path) -> None:
    hashes = set()
    for text in ("def score(sample): return 1.0\n", "def score(sample): return 2.0\n"):
        write(tmp_path, text)
        plan = compiled(tmp_path, {"reward.name": '"judge.py:score"'}).plan
        assert plan is not None
        hashes.add(plan.hash)
    assert len(hashes) == 2


def test_a_reward_of_the_library_has_no_code_in_the_plan(tmp_path: Path) -> None:
    assert (reward_of(tmp_path, "exact").code, reward_of(tmp_path, "exact").level) == (OFF, "sample")


def test_a_module_stands_below_the_root(tmp_path: Path) -> None:
    write(tmp_path, "def score(sample): ...\n", "tools/judge.py")
    code = reward_of(tmp_path, "tools.judge:score").code
    assert isinstance(code, CustomCode)
    assert code.path == "tools/judge.py"


def test_a_file_is_relative_to_the_spec_that_names_it_and_a_module_to_the_root(tmp_path: Path) -> None:
    (tmp_path / "rlc.toml").touch()
    write(tmp_path, "def score(sample): ...\n", "experiments/sums/judge.py")
    write(tmp_path, "def score(batch): ...\n", "judge.py")
    beside, below = (reward_of(tmp_path / "experiments/sums", name) for name in ("judge.py:score", "judge:score"))
    assert isinstance(beside.code, CustomCode)
    assert isinstance(below.code, CustomCode)
    assert (beside.code.path, beside.level) == ("experiments/sums/judge.py", "sample")
    assert (below.code.path, below.level) == ("judge.py", "batch")
    above = reward_of(tmp_path / "experiments/sums", "../../judge.py:score").code
    assert isinstance(above, CustomCode)
    assert above.path == "judge.py"


def test_the_plan_does_not_depend_on_how_a_path_is_spelled(tmp_path: Path) -> None:
    write(tmp_path, "def score(sample): ...\n")
    assert reward_of(tmp_path, "./judge.py:score").code == reward_of(tmp_path, "judge.py:score").code


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.py:score", "there is no file absent.py"),
        ("../judge.py:score", "../judge.py leaves the experiment's root"),
        ("/judge.py:score", "/judge.py leaves the experiment's root"),
        ("judge.py:", "'' is not the name of a function"),
        ("judge.py:a.b", "'a.b' is not the name of a function"),
        ("tools/judge:score", "'tools/judge' is neither a .py file nor a module"),
        ("judge.:score", "'judge.' is neither a .py file nor a module"),
    ],
)
def test_a_reference_that_leads_nowhere_says_why(tmp_path: Path, name: str, message: str) -> None:
    folder = tmp_path / "below"
    folder.mkdir()
    assert told(folder, name) == [("RLC0209", message)]


def test_a_link_out_of_the_root_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "def score(sample): ...\n")
    (tmp_path / "below").mkdir()
    (tmp_path / "below/judge.py").symlink_to(tmp_path / "judge.py")
    assert told(tmp_path / "below", "judge.py:score") == [("RLC0209", "judge.py leaves the experiment's root")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def scores(sample): ...\n", "has no function score"),
        ("class score:\n    pass\n", "has no function score"),
        ("if True:\n    def score(sample): ...\n", "has no function score"),
        ("def score(x): ...\n", "the first parameter of score is called x"),
        ("def score(): ...\n", "score takes no argument by its place"),
        ("def score(sample, label): ...\n", "score takes 2 arguments"),
        ("def score(sample, *, label): ...\n", "score takes 2 arguments"),
        ("def score(*samples): ...\n", "score takes no argument by its place"),
        ("def score(sample:\n", "is not Python that can be read"),
        ("\0", "is not Python that can be read"),
        ("(" * 10_000, "is not Python that can be read"),
    ],
)
def test_a_function_that_cannot_be_called_with_one_thing_is_refused(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)
    ((code, message),) = told(tmp_path, "judge.py:score")
    assert code == "RLC0209"
    assert said in message


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_bytes(b"# \xff\ndef score(sample): ...\n")
    assert [code for code, _ in told(tmp_path, "judge.py:score")] == ["RLC0209"]


def test_a_reward_that_nobody_names_is_asked_for_once(tmp_path: Path) -> None:
    found = compiled(tmp_path, {"reward.name": None})
    assert [(d.code, d.message) for d in found.diagnostics] == [("RLC0205", "reward.name is required")]


def test_the_level_of_a_standard_reward_is_what_its_syntax_tree_says() -> None:
    folder = scan().stdlib / "rewards"
    for name in set(scan().rewards) - set(COMBINED):
        path = folder / f"{name}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        defined = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef))]
        (first,) = (n.args.args[0].arg for n in defined if n.name in ("reward", "question"))
        assert standard_level(path) == first


def test_a_name_that_no_file_can_have_is_a_diagnostic(tmp_path: Path) -> None:
    (found,) = told(tmp_path, "a\\u0000.py:score")
    assert found == ("RLC0209", "'a\\x00.py' is no path: no file has U+0000 in its name")


def test_code_behind_links_that_lead_in_a_circle_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "judge.py").symlink_to("judge.py")
    ((code, message),) = told(tmp_path, "judge.py:score")
    assert (code, message[:25]) == ("RLC0209", "judge.py cannot be read: ")


def test_a_row_cannot_choose_a_function_of_whole_batches(tmp_path: Path) -> None:
    (tmp_path / "judge.py").write_text("def score(batch):\n    return []\ndef one(group):\n    return []\n")
    rows: Changes = {"data.train": '[{ path = "t.jsonl", metadata_key = "m" }]', "reward.name": '"by_row"'}
    found = compiled(tmp_path, {**rows, "reward.terms": '[{ name = "judge.py:score" }]'})
    assert [(d.code, d.message) for d in found.diagnostics] == [
        ("RLC0209", "judge.py:score judges a whole batch, not the rows that name it")
    ]
    assert compiled(tmp_path, {**rows, "reward.terms": '[{ name = "judge.py:one" }]'}).diagnostics == ()
