"""The reward runner: levels, overlap, bounds on time and concurrency, and what is said about failures."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, Never

import pytest

from compiler.diagnostics.diagnostic import Diagnostic, SpecError
from compiler.ir.openness import OFF
from compiler.ir.reward_settings import MathReward
from compiler.ir.rollout import CustomCode, Reward
from runtime.rewards.runner import RewardRunner
from stdlib.samples import Group, JsonValue, Prompt, Sample, SampleId

Level = Literal["sample", "group", "batch"]


def group(index: int, *texts: str, label: JsonValue = "1") -> Group:
    prompt = Prompt(row=index, source=f"d.jsonl:{index + 1}", text="", tokens=(1,), label=label)
    samples = tuple(
        Sample(
            id=SampleId(stage=0, step=0, group=index, sample=i), prompt=prompt, segments=(), text=text, finish="stop"
        )
        for i, text in enumerate(texts)
    )
    return Group(prompt=prompt, samples=samples)


def custom(
    root: Path, text: str, *, level: Level = "sample", timeout_s: float = 20.0, concurrency: int = 8
) -> RewardRunner:
    (root / "r.py").write_text(text)
    code = CustomCode(path="r.py", function="judge", sha256=hashlib.sha256(text.encode()).hexdigest())
    reward: Reward[Never] = Reward(
        name="r.py:judge", level=level, code=code, timeout_s=timeout_s, concurrency=concurrency
    )
    return RewardRunner(reward, root=root)


def standard(name: str, *, timeout_s: float = 30.0) -> RewardRunner:
    return RewardRunner(
        Reward(name=name, level="sample", code=OFF, timeout_s=timeout_s, math=MathReward()), root=Path()
    )


def rewards(groups: list[Group]) -> list[list[float | None]]:
    return [[sample.reward for sample in group.samples] for group in groups]


async def arriving(*groups: Group) -> AsyncIterator[Group]:
    for one in groups:
        yield one
        await asyncio.sleep(0)


def failure(runner: RewardRunner, *groups: Group) -> Diagnostic:
    with pytest.raises(SpecError) as caught:
        asyncio.run(runner.score_all(arriving(*groups)))
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


LENGTH = "def judge(sample):\n    return len(sample.text)\n"
ASYNC_LENGTH = "import asyncio\nasync def judge(sample):\n    await asyncio.sleep(0)\n    return len(sample.text)\n"
GROUP = "def judge(group):\n    return [len(s.text) for s in group.samples]\n"
BATCH = "def judge(batch):\n    return [[len(s.text) + 10 * len(batch) for s in g.samples] for g in batch]\n"


@pytest.mark.parametrize(
    ("text", "level", "offset"),
    [(LENGTH, "sample", 0), (ASYNC_LENGTH, "sample", 0), (GROUP, "group", 0), (BATCH, "batch", 20)],
)
def test_groups_come_back_in_the_order_of_their_ids(tmp_path: Path, text: str, level: Level, offset: int) -> None:
    runner = custom(tmp_path, text, level=level)
    found = asyncio.run(runner.score_all(arriving(group(1, "a", "bb"), group(0, "ccc"))))
    assert rewards(found) == [[offset + 3], [offset + 1, offset + 2]]
    assert [g.samples[0].id.group for g in found] == [0, 1]


def test_the_exact_reward_scores_each_sample() -> None:
    found = asyncio.run(standard("exact").score_all(arriving(group(0, "1", "2", " 1 "))))
    assert rewards(found) == [[1.0, 0.0, 1.0]]


def test_judging_begins_while_other_groups_are_still_generated(tmp_path: Path) -> None:
    runner = custom(tmp_path, f"def judge(sample):\n    open({str(tmp_path)!r} + '/judged', 'w')\n    return 1\n")

    async def slow() -> AsyncIterator[Group]:
        yield group(0, "a")
        while not (tmp_path / "judged").exists():
            await asyncio.sleep(0.005)
        yield group(1, "b")

    found = asyncio.run(asyncio.wait_for(runner.score_all(slow()), 10))
    assert len(found) == 2


def test_no_more_calls_than_allowed_are_under_way_and_no_fewer(tmp_path: Path) -> None:
    text = (
        "import asyncio\nnow = most = 0\n"
        "async def judge(sample):\n"
        "    global now, most\n"
        "    now += 1\n    most = max(most, now)\n"
        "    await asyncio.sleep(0.01)\n"
        "    now -= 1\n    return most\n"
    )
    found = asyncio.run(custom(tmp_path, text, concurrency=3).score_all(arriving(group(0, *"abcdefgh"))))
    assert max(r for r in rewards(found)[0] if r is not None) == 3


def test_one_runner_serves_several_loops(tmp_path: Path) -> None:
    runner = custom(tmp_path, ASYNC_LENGTH, concurrency=1)
    for _ in range(2):
        assert rewards(asyncio.run(runner.score_all(arriving(group(0, "a", "b"))))) == [[1.0, 1.0]]


def test_an_exception_names_the_reward_the_row_and_the_line(tmp_path: Path) -> None:
    text = "def judge(sample):\n    parts = sample.text.split('=')\n    return float(parts[1])\n"
    diagnostic = failure(custom(tmp_path, text), group(4, "no equals sign"))
    assert diagnostic.code == "RLC0612"
    assert diagnostic.message == "reward r.py:judge raised IndexError: list index out of range, on d.jsonl:5"
    assert str(diagnostic.labels[0].span) == "r.py:3"
    assert diagnostic.labels[0].span.text == "return float(parts[1])"


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("async def judge(sample):\n    raise ValueError('x')\n", "sample"),
        ("def judge(group):\n    raise ValueError('x')\n", "group"),
        ("def judge(batch):\n    raise ValueError('x')\n", "batch"),
        ("def judge(sample):\n    raise SystemExit('x')\n", "sample"),
        ("def judge(sample):\n    raise TimeoutError('x')\n", "sample"),
        ("def judge(sample):\n    raise KeyboardInterrupt\n", "sample"),
    ],
)
def test_every_way_of_raising_is_reported(tmp_path: Path, text: str, level: Level) -> None:
    diagnostic = failure(custom(tmp_path, text, level=level), group(0, "a"))
    assert diagnostic.code == "RLC0612"
    assert str(diagnostic.labels[0].span) == "r.py:2"


def test_a_failure_of_the_standard_library_is_reported_too() -> None:
    diagnostic = failure(standard("exact"), group(2, "a", label=None))
    assert diagnostic.code == "RLC0612"
    assert diagnostic.labels[0].span.file.name == "//rewards/exact.py"


@pytest.mark.parametrize("text", ["import time\ndef judge(sample):\n    time.sleep(30)\n", ""])
def test_a_call_that_hangs_is_given_up_on_time(tmp_path: Path, text: str) -> None:
    text = text or "import asyncio\nasync def judge(sample):\n    await asyncio.sleep(30)\n"
    start = time.monotonic()
    diagnostic = failure(custom(tmp_path, text, timeout_s=0.2), group(0, "a"))
    assert time.monotonic() - start < 5
    assert diagnostic.code == "RLC0613"
    assert diagnostic.message == "reward r.py:judge took longer than 0.2 s, on d.jsonl:1"


@pytest.mark.parametrize(
    ("value", "level"),
    [
        ("float('nan')", "sample"),
        ("float('inf')", "sample"),
        ("None", "sample"),
        ("'1'", "sample"),
        ("[1.0]", "sample"),
        ("1.0", "group"),
        ("[1.0]", "group"),
        ("[1.0, None]", "group"),
        ("'ab'", "group"),
        ("[1.0, 1.0]", "batch"),
        ("[[1.0]]", "batch"),
        ("[[1.0, 1.0], [1.0, 1.0]]", "batch"),
    ],
)
def test_anything_but_one_finite_number_a_sample_is_refused(tmp_path: Path, value: str, level: Level) -> None:
    runner = custom(tmp_path, f"def judge({level}):\n    return {value}\n", level=level)
    assert failure(runner, group(0, "a", "b")).code == "RLC0614"


def test_what_cannot_even_be_looked_at_is_reported(tmp_path: Path) -> None:
    too_large = failure(custom(tmp_path, "def judge(sample):\n    return 10**400\n"), group(0, "a"))
    assert (too_large.code, "OverflowError" in too_large.message) == ("RLC0612", True)
    text = "class Odd:\n    def __repr__(self):\n        raise ValueError('x')\ndef judge(sample):\n    return Odd()\n"
    assert failure(custom(tmp_path, text), group(0, "a")).message.endswith("raised ValueError: x, on d.jsonl:1")


def test_no_line_is_shown_of_a_file_that_has_changed_since(tmp_path: Path) -> None:
    runner = custom(tmp_path, "def judge(sample):\n    raise ValueError('x')\n")
    (tmp_path / "r.py").write_text("\n")
    assert failure(runner, group(0, "a")).labels == ()
    (tmp_path / "r.py").unlink()
    assert failure(runner, group(0, "a")).labels == ()


def test_true_counts_as_one(tmp_path: Path) -> None:
    runner = custom(tmp_path, "def judge(sample):\n    return sample.text == 'a'\n")
    assert rewards(asyncio.run(runner.score_all(arriving(group(0, "a", "b"))))) == [[1.0, 0.0]]


def test_a_failure_ends_the_wait_for_further_groups_and_closes_their_source(tmp_path: Path) -> None:
    runner = custom(tmp_path, "def judge(sample):\n    raise ValueError('x')\n")
    closed: list[bool] = []

    async def endless() -> AsyncIterator[Group]:
        try:
            yield group(0, "a")
            await asyncio.sleep(60)
            yield group(1, "b")
        finally:
            closed.append(True)

    with pytest.raises(SpecError, match="RLC0612"):
        asyncio.run(asyncio.wait_for(runner.score_all(endless()), 10))
    assert closed == [True]


def test_a_failure_of_generation_passes_through(tmp_path: Path) -> None:
    runner = custom(tmp_path, "import asyncio\nasync def judge(sample):\n    await asyncio.sleep(60)\n")

    async def failing() -> AsyncIterator[Group]:
        yield group(0, "a")
        await asyncio.sleep(0.01)
        raise ValueError("the engine is out of memory")

    with pytest.raises(ValueError, match="out of memory"):
        asyncio.run(asyncio.wait_for(runner.score_all(failing()), 10))


def test_math_is_judged_in_a_process_of_its_own_that_survives_endless_powers() -> None:
    # The alarm also covers what is loaded by the first call, so it leaves room for a busy machine.
    runner = standard("math", timeout_s=3.0)
    texts = "\\boxed{1}", "\\boxed{9^{9^{9^{9}}}}", "2", "so 1"
    found = asyncio.run(runner.score_all(arriving(group(0, *texts), group(1, "\\frac{2}{2}"))))
    runner.close()
    assert rewards(found) == [[1.0, 0.0, 0.0, 1.0], [1.0]]


ISOLATED = (
    "import os\nfrom stdlib.rewards._isolation import Isolation\n"
    "ISOLATION = Isolation(score=-5.0, memory_gib=1, imports=())\n"
    "def judge(sample):\n    print('chatter')\n"
)


def test_an_isolated_call_that_hangs_scores_what_the_module_says_and_is_counted(tmp_path: Path) -> None:
    runner = custom(tmp_path, ISOLATED + "    while sample.text == 'b':\n        pass\n    return 1.0\n", timeout_s=1.0)
    found = asyncio.run(runner.score_all(arriving(group(0, "a", "b", "a"))))
    runner.close()
    assert rewards(found) == [[1.0, -5.0, 1.0]]
    assert runner.num_unjudged == 1


def test_an_isolated_call_that_takes_too_much_memory_fails_alone(tmp_path: Path) -> None:
    body = (
        "    try:\n        return float(len(bytearray(2**32 if sample.text == 'b' else 7)))\n"
        "    except MemoryError:\n        return 0.5\n"
    )
    runner = custom(tmp_path, ISOLATED + body)
    found = asyncio.run(runner.score_all(arriving(group(0, "a", "b"))))
    runner.close()
    assert rewards(found) == [[7.0, 0.5]]


def test_an_isolated_process_that_dies_scores_what_the_module_says(tmp_path: Path) -> None:
    runner = custom(tmp_path, ISOLATED + "    if sample.text == 'b':\n        os._exit(3)\n    return 1.0\n")
    found = asyncio.run(runner.score_all(arriving(group(0, "b", "a"), group(1, "a"))))
    runner.close()
    assert rewards(found) == [[-5.0, 1.0], [1.0]]


def test_an_isolated_process_outlives_the_signals_that_ask_a_run_to_stop(tmp_path: Path) -> None:
    body = (
        "    import signal\n"
        "    for number in (signal.SIGINT, signal.SIGTERM):\n        os.kill(os.getpid(), number)\n"
        "    return float(os.getpgid(0) != os.getpgid(os.getppid()))\n"
    )
    runner = custom(tmp_path, ISOLATED + body)
    found = asyncio.run(runner.score_all(arriving(group(0, "a"))))
    runner.close()
    assert rewards(found) == [[1.0]]


def test_an_isolated_exception_and_a_bad_number_are_reported_with_their_line(tmp_path: Path) -> None:
    runner = custom(tmp_path, ISOLATED + "    raise ValueError('x')\n")
    diagnostic = failure(runner, group(0, "a"))
    runner.close()
    assert (diagnostic.code, str(diagnostic.labels[0].span)) == ("RLC0612", "r.py:6")
    runner = custom(tmp_path, ISOLATED + "    return float('nan')\n")
    assert failure(runner, group(0, "a")).code == "RLC0614"
    runner.close()


def test_what_an_isolated_reward_imports_is_missed_at_the_start(tmp_path: Path) -> None:
    runner = custom(tmp_path, ISOLATED.replace("imports=()", "imports=('no_such_module',)") + "    return 1.0\n")
    assert "no_such_module" in failure(runner, group(0, "a")).message


def test_an_asynchronous_reward_that_holds_the_loop_is_late(tmp_path: Path) -> None:
    text = "import time\nasync def judge(sample):\n    time.sleep(60)\n"
    fault = failure(custom(tmp_path, text, timeout_s=0.2), group(0, "a"))
    assert fault.code == "RLC0613"
    assert fault.message.startswith("reward r.py:judge held up the event loop for more than 0.2 s at line 3")
