"""Functions of one's own in the place of parts of an algorithm: equal to built-ins they copy, and held to their duty.

The oracle of a function is the built-in that it writes out again: its run has the same rows and the same weights, bit
for bit.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from compiler.compile import compile_spec
from compiler.diagnostics.diagnostic import SpecError
from compiler.ir.plan import Plan
from rlc.catalogue import scan
from runtime.driver import RunPlace, run_plan
from tests.support.run_directory import rows_of
from tests.support.tiny_experiment import MODEL, write_experiment

pytestmark = pytest.mark.torch

SPEC = f"""rlc = 1
name = "own"
use = ["//recipes:grpo"]
{MODEL}
[cluster]
target = "cpu"
cpu_threads = 1

[run]
max_steps = 4

[rollout]
max_prompt_tokens = 4
max_response_tokens = 3
prompts_per_step = 4
samples_per_prompt = 4

[reward]
name = "judge.py:reward"

[train]
global_batch = 8

[optim]
lr = 2e-2

[loss]
old_logprobs = "recompute"

[[data.train]]
path = "sums.jsonl"
"""
# Sums of zeros and ones have no rounding, so that the order in which they are added up leaves no trace.
JUDGE = """def reward(sample):
    return float(sample.text[:1] in ("3", "5", "7", "9"))
"""
OWN = """import torch


def above_mean(experience):
    found = torch.zeros(len(experience.rewards_N))
    for group in experience.group_N.unique():
        inside = experience.group_N == group
        found[inside] = experience.rewards_N[inside] - experience.rewards_N[inside].mean()
    return found


def of_tokens(experience):
    found = above_mean(experience)[experience.sequence_T].masked_fill(experience.mask_T == 0, 7.0)
    experience.rewards_N.zero_()
    experience.mask_T.zero_()
    return found


def wild_where_masked(experience):
    return above_mean(experience)[experience.sequence_T].masked_fill(experience.mask_T == 0, float("nan"))


def greedy(experience):
    return experience.rewards_N - experience.baselines_N


def by_token(batch):
    found = batch.mask_T / batch.mask_T.sum()
    batch.advantages_T.zero_()
    return found.masked_fill(batch.mask_T == 0, float("nan"))


def by_sequence(batch):
    counts = torch.zeros(batch.num_sequences).index_add(0, batch.sequence_T, batch.mask_T)
    return batch.mask_T / (counts[batch.sequence_T] * batch.num_sequences)


def truncated(gap):
    return (gap.trainer_logprobs_T - gap.rollout_logprobs_T).exp().clamp(max=1.0)


def spoiling(gap):
    found = truncated(gap).masked_fill(gap.mask_T == 0, float("nan"))
    gap.mask_T.zero_()
    return found, torch.ones(len(found))


def leaving_out_all(gap):
    return gap.mask_T, torch.zeros(len(gap.mask_T))
"""
# Of one parameter, which is called by what it is given.
FAULTS = """import torch


def nothing(known):
    pass


def listed(known):
    return [1.0]


def single(known):
    return torch.tensor(1.0)


def third(known):
    if getattr(known, "calls", 0) == 0 and third.calls == 2:
        raise ValueError("enough")
    third.calls += 1
    return known.mask_T


third.calls = 0


def nan(known):
    found = known.mask_T.clone()
    found[found == 1] = torch.tensor([*[1.0] * (int(found.sum()) - 1), float("nan")])
    return found


def infinite(known):
    return known.mask_T / 0


def negative(known):
    return -known.mask_T


def halves(known):
    return known.mask_T, known.mask_T / 2


def three(known):
    return known.mask_T, known.mask_T, known.mask_T


def turning(known):
    return known.mask_T * 1j
"""
PLAIN = ("algo.normalize_std=false",)
BY_SAMPLE = ('algo.advantages="own.py:above_mean"',)
BOUNDED = ('loss.mismatch.bound="truncate"', "loss.mismatch.high=1.0")
WEIGHED = ('loss.mismatch.function="own.py:truncated"',)


@pytest.mark.parametrize("name", ["above_mean", "of_tokens", "wild_where_masked"])
@pytest.mark.parametrize("algorithm", ["grpo", "rloo", "gspo"])
def test_advantages_of_ones_own_are_those_of_the_built_in_bit_for_bit(
    tmp_path: Path, name: str, algorithm: str
) -> None:
    which = (f'algo.name="{algorithm}"',)
    built_in = run(tmp_path / "built_in", *which, *PLAIN, 'algo.baseline="mean"')
    assert run(tmp_path / "own", *which, f'algo.advantages="own.py:{name}"') == built_in


@pytest.mark.parametrize("name", ["truncated", "spoiling"])
def test_a_correction_of_ones_own_is_the_built_in_bit_for_bit(tmp_path: Path, name: str) -> None:
    built_in = run(tmp_path / "built_in", *BOUNDED)
    assert run(tmp_path / "own", f'loss.mismatch.function="own.py:{name}"') == built_in
    assert run(tmp_path / "without") != built_in


@pytest.mark.parametrize(
    ("recipe", "name", "built_in"),
    [("remax", "greedy", ()), ("reinforce_plus_plus", "above_mean", ("algo.group_baseline=true",))],
)
def test_algorithms_that_do_not_compare_within_groups_take_advantages_too(
    tmp_path: Path, recipe: str, name: str, built_in: tuple[str, ...]
) -> None:
    further = (f'algo.name="{recipe}"', "algo.whiten=false")
    own = run(tmp_path / "own", *further, f'algo.advantages="own.py:{name}"')
    assert own == run(tmp_path / "built_in", *further, *built_in)


@pytest.mark.parametrize(("name", "reduction"), [("by_token", "token"), ("by_sequence", "sequence")])
def test_a_reduction_of_ones_own_is_the_built_in_bit_for_bit(tmp_path: Path, name: str, reduction: str) -> None:
    further = (f'loss.reduction="{reduction}"', "loss.entropy_coef=0.01", "train.packing.tokens=16")
    built_in = run(tmp_path / "built_in", *further)
    assert run(tmp_path / "own", *further, f'loss.reducer="own.py:{name}"') == built_in
    other = "by_sequence" if name == "by_token" else "by_token"
    assert run(tmp_path / "other", *further, f'loss.reducer="own.py:{other}"') != built_in


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "batch.py:nothing returned nothing, not a tensor of weights, in step 1 of stage main"),
        ("single", "batch.py:single returned weights of shape [], not "),
        ("third", "batch.py:third raised ValueError: enough, in step 2 of stage main"),
        ("nan", "batch.py:nan returned nan as a weight: token "),
        ("negative", "batch.py:negative returned -1 as a weight: token "),
    ],
)
def test_what_is_no_reduction_ends_the_run(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SpecError, match="RLC0647") as fault:
        run(tmp_path, f'loss.reducer="batch.py:{name}"')
    assert said in fault.value.diagnostics[0].message
    assert fault.value.diagnostics[0].paths == ("loss.reducer",)


def test_advantages_of_ones_own_are_whitened_and_clamped_as_any(tmp_path: Path) -> None:
    further = ("algo.whiten=true", "algo.advantage_high=0.5")
    assert run(tmp_path / "own", *BY_SAMPLE, *further) == run(tmp_path / "built_in", *PLAIN, *further)


def test_tokens_that_a_correction_masks_are_not_trained_on(tmp_path: Path) -> None:
    rows, _ = run(tmp_path, 'loss.mismatch.function="own.py:leaving_out_all"')
    assert [row["train/skipped_steps"] for row in rows] == [2.0] * 4
    assert [row["mismatch/dropped_sequences"] for row in rows] == [16.0] * 4


@pytest.mark.parametrize("own", [BY_SAMPLE, WEIGHED])
def test_packing_and_micro_batches_do_not_change_what_a_function_says(tmp_path: Path, own: tuple[str, ...]) -> None:
    (rows, _), (cut, _) = (
        run(tmp_path / name, *own, "run.max_steps=1", *further)
        for name, further in (("whole", ()), ("cut", ("train.packing.tokens=8",)))
    )
    assert [row["train/pg_loss"] for row in cut] == pytest.approx([row["train/pg_loss"] for row in rows], abs=1e-6)
    assert [row["train/grad_norm"] for row in cut] == pytest.approx([row["train/grad_norm"] for row in rows], rel=1e-4)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "{file}:nothing returned nothing, not a tensor of {what}, in step 1 of stage main"),
        ("listed", "{file}:listed returned list, not a tensor of {what}, in step 1 of stage main"),
        ("single", "{file}:single returned {what} of shape [], not "),
        ("third", "{file}:third raised ValueError: enough, in step 3 of stage main"),
        ("nan", "{file}:nan returned nan as {one}: token "),
        ("infinite", "{file}:infinite returned inf as {one}: token 4 of sample 0, and "),
        ("turning", "{file}:turning returned complex numbers, not {what}"),
    ],
)
@pytest.mark.parametrize(
    ("field", "code", "words"),
    [
        ("loss.mismatch.function", "RLC0655", {"file": "gap.py", "what": "weights", "one": "a weight"}),
        ("algo.advantages", "RLC0656", {"file": "experience.py", "what": "advantages", "one": "an advantage"}),
    ],
)
def test_what_is_no_answer_ends_the_run(
    tmp_path: Path, name: str, said: str, field: str, code: str, words: dict[str, str]
) -> None:
    with pytest.raises(SpecError, match=code) as fault:
        run(tmp_path, f'{field}="{words["file"]}:{name}"')
    found = fault.value.diagnostics[0]
    assert said.format(**words) in found.message
    assert found.paths == (field,)
    line = "raise ValueError" if name == "third" else f"def {name}("
    assert found.labels[0].span.text.startswith(line)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("negative", "returned -1 as a weight: token 4 of sample 0, and "),
        ("halves", "returned 0.5 in its mask: token 4 of sample 0, and "),
        ("three", "returned 3 things, not weights and a mask"),
    ],
)
def test_a_correction_weighs_and_masks_and_does_nothing_else(tmp_path: Path, name: str, said: str) -> None:
    with pytest.raises(SpecError, match="RLC0655") as fault:
        run(tmp_path, f'loss.mismatch.function="gap.py:{name}"')
    assert said in fault.value.diagnostics[0].message


@pytest.mark.parametrize("own", [BY_SAMPLE, WEIGHED])
def test_a_file_that_was_changed_after_the_plan_was_made_is_refused(tmp_path: Path, own: tuple[str, ...]) -> None:
    plan = compiled(tmp_path, *own)
    (tmp_path / "own.py").write_text(f"{OWN}\n# and more\n", encoding="utf-8")
    with pytest.raises(SpecError, match=r"RLC0611.*own.py has changed"):
        run_plan(plan, RunPlace(root=tmp_path, run_dir=tmp_path / "run", stream=io.StringIO()))


def compiled(folder: Path, *further: str) -> Plan:
    spec = write_experiment(folder, spec=SPEC)
    (folder / "judge.py").write_text(JUDGE, encoding="utf-8")
    (folder / "own.py").write_text(OWN, encoding="utf-8")
    for name in ("gap", "experience", "batch"):
        (folder / f"{name}.py").write_text(FAULTS.replace("known", name), encoding="utf-8")
    found = compile_spec(spec, scan(), overrides=further)
    assert found.plan is not None, [d.message for d in found.diagnostics]
    return found.plan


def run(folder: Path, *further: str) -> tuple[list[dict[str, object]], bytes]:
    """Return the rows of a run without what a clock said, and its weights at the end."""
    place = RunPlace(root=folder, run_dir=folder / "run", stream=io.StringIO())
    assert run_plan(compiled(folder, *further), place) == "finished"
    rows = [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows_of(folder / "run")]
    last = sorted((folder / "run" / "checkpoints").iterdir())[-1]
    return rows, (last / "model.safetensors").read_bytes()
