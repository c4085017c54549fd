"""`--shrink`: what to change about an experiment so that one CPU process runs it in seconds.

The experiment is compiled as written first; the rules here look at what came out and say which fields to change.  What
they say enters as a source of its own, stronger than the spec and weaker than `--set`, and the spec is compiled again.

Kept is what decides whether the experiment is put together rightly: the family and its kinds of layers, the ratio of
query to key-value heads, rotary, norm and bias facts, the loop of each stage, the group, the optimizer steps of a
rollout, rewards, custom code, data, sampling.  Reduced are sizes and counts.  Weights are random and tokens are bytes,
since a checkpoint and its tokenizer are rarely at hand where one plans.
"""

from __future__ import annotations

from math import gcd

from compiler.diagnostics.span import SourceFile, Span
from compiler.frontend.value import SHRUNK, Entry, Leaf, List, Table
from compiler.ir.algorithm import TaughtParams
from compiler.ir.data import Eval, Until
from compiler.ir.evaluated import pair_sets, scored_sets
from compiler.ir.experiment import Stage
from compiler.ir.openness import OFF, Auto, Off
from compiler.ir.rollout import Rollout
from compiler.ir.shrunk import Change
from compiler.ir.sides import placed_judges
from compiler.ir.subject import Subject, toml_literal
from compiler.lowering.shrink_ledger import Ledger
from compiler.lowering.shrink_model import shrunk_model

NAME = "--shrink"
TARGET = "cpu"
SUFFIX = "-shrunk"

MAX_STEPS = 2
PROMPTS_PER_STEP = 4
SAMPLES_PER_BATCH = 8
PROMPT_TOKENS = 64
RESPONSE_TOKENS = 16
TURNS = 3
OBSERVATION_TOKENS = 32
EVAL_PROMPTS = 4
EVAL_SAMPLES = 2
TOPK = 8
JUDGE_URL = "http://127.0.0.1:17000/v1/chat/completions"


def shrunk_changes(subject: Subject) -> tuple[Change, ...]:
    """Return what to change about a resolved experiment."""
    ledger = Ledger(subject)
    ledger.put("name", f"{subject.experiment.name}{SUFFIX}", "run directories differ")
    shrunk_model(ledger)
    _machine(ledger)
    for stage in subject.stages():
        _stage(ledger, f"stages.{stage.index}", stage.stage)
    return tuple(ledger.changes.values())


def shrunk_layers(changes: tuple[Change, ...], *, has_stage_list: bool) -> list[Table]:
    """Return the changes as a source of their own: a line for each, with its reason behind it."""
    lines = [_Line(change, has_stage_list=has_stage_list) for change in changes]
    source = SourceFile(NAME, "".join(line.text for line in lines))
    tables: list[Table] = []
    at = 0
    for line in lines:
        tables.append(line.table(source, at))
        at += len(line.text)
    return tables


class _Line:
    """One change as a line of TOML.  Elements of lists are addressed as `--set` does it."""

    def __init__(self, change: Change, *, has_stage_list: bool) -> None:
        head, *rest = change.path.split(".")
        self.keys = [head, *rest]
        if head == "stages":
            self.keys = ["stages", *rest] if has_stage_list else rest[1:]
        self.keys = [f"[{key}]" if key.isdecimal() else key for key in self.keys]
        self.value = _written(change.after)
        self.literal = toml_literal(self.value)
        note = f"    # {toml_literal(_written(change.before))} in the experiment: {change.why}\n"
        self.path = ".".join(self.keys).replace(".[", "[")
        self.text = f"{self.path} = {self.literal}{note}"

    def table(self, source: SourceFile, at: int) -> Table:
        """Return the nested tables that the line, which stands at a place of a text, means."""
        spans: list[Span] = []
        end = at
        for key in self.keys:
            start = self.text.index(key, end - at) + at
            end = start + len(key)
            spans.append(Span(source, start, end))
        start = end + len(" = ")
        span = Span(source, start, start + len(self.literal))
        value = self.value
        node: Leaf | List | Table = List((), span, SHRUNK) if isinstance(value, tuple) else Leaf(value, span, SHRUNK)
        for key, place in zip(reversed(self.keys), reversed(spans), strict=True):
            node = Table({key: Entry(place, node)}, place, SHRUNK)
        assert isinstance(node, Table)
        return node


def _written(value: object) -> bool | int | float | str | tuple[()]:
    if isinstance(value, Off | Auto):
        return repr(value)
    if isinstance(value, tuple):
        return ()
    assert isinstance(value, (bool, int, float, str))
    return value


def _machine(ledger: Ledger) -> None:
    ledger.put("cluster.target", TARGET, "the machine at hand")
    ledger.put("cluster.nodes", 1, "one process")
    ledger.put("cluster.cpu_threads", 1, "tiny products: a second thread only waits")
    ledger.put("run.executor", "inline", "one process")
    ledger.put("placement.mode", "colocate", "one process")


def _stage(ledger: Ledger, at: str, stage: Stage[Auto]) -> None:
    ledger.cap(f"{at}.run.max_steps", MAX_STEPS)
    ledger.cap(f"{at}.critic.warmup_rollouts", (ledger.number(f"{at}.run.max_steps") or MAX_STEPS) - 1)
    if isinstance(stage.algorithm, TaughtParams):
        shrunk_model(ledger, f"{at}.teacher")
        ledger.cap(f"{at}.loss.topk", TOPK)
    if not isinstance(stage.rollout, Off):
        _lengths(ledger, at)
    if isinstance(stage.rollout, Rollout):
        _batch_identity(ledger, at)
    else:
        ledger.cap(f"{at}.train.global_batch", SAMPLES_PER_BATCH)
        ledger.derive(f"{at}.rollout.concurrency", "follows the batch")
    for path, _ in placed_judges(stage):
        ledger.put(f"{at}.{path}.url", JUDGE_URL, "one process places no judge; serve one there")
    _training(ledger, at)
    if isinstance(stage.eval, Eval):
        _evaluation(ledger, f"{at}.eval", stage.eval, stage.until)
    _compared(ledger, f"{at}.eval", stage)
    ledger.cap(f"{at}.checkpoint.interval", 1)


def _evaluation(ledger: Ledger, at: str, settings: Eval[Auto], until: Until | Off) -> None:
    """Few prompts, and few responses unless a bound waits for a metric of many; sets say nothing of their own."""
    ledger.cap(f"{at}.interval", 1)
    ledger.cap(f"{at}.max_prompts", EVAL_PROMPTS)
    if ledger.value(f"{at}.max_prompts") is OFF:
        ledger.put(f"{at}.max_prompts", EVAL_PROMPTS, f"at most {EVAL_PROMPTS}")
    counts = ("samples_per_prompt", "k") if isinstance(until, Off) or "@" not in until.metric else ()
    if counts:
        ledger.cap(f"{at}.samples_per_prompt", EVAL_SAMPLES)
        ledger.derive(f"{at}.k", "follows the samples")
    ledger.derive(f"{at}.max_response_tokens", "as in the rollout")
    for index in range(len(settings.sets)):
        for name in ("max_prompts", "max_response_tokens", *counts):
            ledger.derive(f"{at}.sets.{index}.{name}", "as of every set")


def _compared(ledger: Ledger, at: str, stage: Stage[Auto]) -> None:
    """Few pairs, and few answers with scores."""
    ledger.cap(f"{at}.interval", 1)
    for table, field, sets in (
        ("pairs", "max_pairs", pair_sets(stage.eval)),
        ("scored", "max_rows", scored_sets(stage.eval)),
    ):
        for index in range(len(sets)):
            ledger.put(f"{at}.{table}.{index}.{field}", EVAL_PROMPTS, f"at most {EVAL_PROMPTS}")


def _lengths(ledger: Ledger, at: str) -> None:
    """Short prompts and responses; a prompt that is longer in bytes is cut, so that no data set ends up empty."""
    if ledger.value("model.tokenizer.kind") == "bytes":
        ledger.put(f"{at}.rollout.overlong_prompts", "truncate", "no row of real data fits")
        ledger.put(f"{at}.rollout.stop_token_ids", (), "the tokenizer is another one")
    ledger.cap(f"{at}.rollout.max_prompt_tokens", PROMPT_TOKENS)
    ledger.cap(f"{at}.rollout.max_response_tokens", RESPONSE_TOKENS)
    ledger.derive(f"{at}.rollout.max_context_tokens", "prompt and response")
    ledger.cap(f"{at}.environment.max_turns", TURNS)
    ledger.cap(f"{at}.environment.max_observation_tokens", OBSERVATION_TOKENS)
    ledger.cap(f"{at}.rollout.filter.max_refills", 1)
    ledger.derive(f"{at}.reward.shaping.overlong.max_tokens", "what a response may take")
    ledger.derive(f"{at}.reward.shaping.overlong.buffer_tokens", "a fifth of that")
    for field in ("cache_tokens", "prefill_tokens"):
        ledger.derive(f"{at}.rollout.engine.{field}", "follows the batch")
    for field in ("name", "version"):
        ledger.derive(f"{at}.rollout.engine.{field}", "what the target has")


def _batch_identity(ledger: Ledger, at: str) -> None:
    """Few prompts of the same group, so that the same number of optimizer steps shares them without a rest."""
    group, steps = ledger.number(f"{at}.rollout.samples_per_prompt"), ledger.number(f"{at}.train.steps_per_rollout")
    prompts = ledger.number(f"{at}.rollout.prompts_per_step")
    ledger.derive(f"{at}.rollout.concurrency", "follows the batch")
    if group is None or steps is None or prompts is None:
        return
    unit = steps // gcd(steps, group)
    fewest = max(unit, PROMPTS_PER_STEP // unit * unit)
    if prompts > fewest and not ledger.is_fixed(f"{at}.train.global_batch"):
        ledger.put(f"{at}.rollout.prompts_per_step", fewest, f"at most {fewest}, and the batch identity holds")
        now = ledger.number(f"{at}.rollout.prompts_per_step") or fewest
        ledger.put(f"{at}.train.global_batch", now * group // steps, "the batch identity")
    frac = ledger.value(f"{at}.rollout.buffer.replay.frac")
    fewer = ledger.number(f"{at}.rollout.prompts_per_step")
    if isinstance(frac, float) and fewer is not None and fewer > 1 and frac * fewer < 1:
        ledger.put(f"{at}.rollout.buffer.replay.frac", 1 / fewer, "one group of the step")


def _training(ledger: Ledger, at: str) -> None:
    ledger.put(f"{at}.train.routing_replay", "off", "the oracle's engines choose experts alike")
    ledger.put(f"{at}.train.precision", "fp32", "the number format of the oracle")
    ledger.put(f"{at}.schedule.mode", "sync", "one process: nothing runs beside anything")
    for field in ("name", "version"):
        ledger.derive(f"{at}.train.engine.{field}", "what the target has")
    ledger.derive(f"{at}.train.vocab_chunk", "follows the vocabulary")
    ledger.derive(f"{at}.optim.total_steps", "follows the steps")
    ledger.cap(f"{at}.train.micro_batch", ledger.number(f"{at}.train.global_batch") or 1)
    total = (ledger.number(f"{at}.run.max_steps") or 1) * (ledger.number(f"{at}.train.steps_per_rollout") or 1)
    total *= ledger.number(f"{at}.train.epochs_per_rollout") or 1
    ledger.cap(f"{at}.optim.warmup_steps", max(0, total - 1))
