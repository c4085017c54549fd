"""The data of an experiment, read before anybody waits for a run: what is wrong with it, and what there is of it.

Files are read as a run would read them, with the tokenizer of the model where its files are at hand, and every fault is
told and not only the first.  What a run would accept is looked at as well: held-out prompts that are trained on, steps
that need more rows than there are, prompts that are given to the model in one form for training and in another for
measuring.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple, Never, TypeVar

from compiler.diagnostics.diagnostic import Diagnostic, Help, InternalError, SpecError
from compiler.ir.data import (
    DataSource,
    DemonstrationData,
    DemonstrationSource,
    EvalSet,
    JudgedSource,
    PairSet,
    PairSource,
    PreferenceData,
    ScoredData,
    ScoredSet,
    TextSource,
)
from compiler.ir.evaluated import pair_sets, sampled_sets, scored_sets
from compiler.ir.experiment import Experiment, Stage
from compiler.ir.model import Model
from compiler.ir.openness import OFF, Off
from compiler.ir.rollout import Generation, Rollout
from runtime.data.byte_tokenizer import ByteTokenizer
from runtime.data.context_limit import context_limit
from runtime.data.demonstrations import Demonstration, DemonstrationReading
from runtime.data.jsonl import Dropped, Place, RowFaults, num_rows_phrase
from runtime.data.lengths import Limit
from runtime.data.preferences import PreferenceReading
from runtime.data.prompts import PromptReading, prompt_limit
from runtime.data.reading import Effort, Loaded, Reading, load_all
from runtime.data.scores import ScoreReading
from runtime.data.sources import streams
from runtime.data.tokenizers import TextTokenizer, load_tokenizer
from runtime.environments.known import KnownEnvironment, known_environment
from runtime.environments.opened import check_prompts

T = TypeVar("T")
S = TypeVar("S", bound="TextSource[Never]")
HeldOutSet = EvalSet[Never] | PairSet[Never] | ScoredSet[Never]

IN_BOTH = "RLC0671"
TOO_FEW = "RLC0672"
TWO_FORMS = "RLC0673"
NO_TOKENIZER = "RLC0674"

# Of a stream so many rows are looked at.
STREAM_ROWS = 1_000

_NO_FILES = "RLC0617"
_NO_LIMIT = 1 << 62


class Prompted(NamedTuple):
    """One prompt as tokens, and its place, `file:line`."""

    tokens: tuple[int, ...]
    source: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Audit:
    """What was found: faults, and a line for each data set.

    `paths` of a diagnostic are whole, such as `stages.0.rollout.max_prompt_tokens`, or end with `data.train`.
    """

    diagnostics: tuple[Diagnostic, ...]
    lines: tuple[str, ...]


def audit(experiment: Experiment[Never], *, root: Path) -> Audit:
    """Read all data of an experiment; paths are relative to `root`."""
    found: list[Diagnostic] = []
    lines: list[str] = []
    tokenizer: TextTokenizer | None = None
    try:
        tokenizer = load_tokenizer(experiment.model, root=root)
    except SpecError as fault:
        found += [_without_lengths(d) if d.code == _NO_FILES else d for d in fault.diagnostics]
    for index, stage in enumerate(experiment.stages):
        reading = _Reading(stage=stage, model=experiment.model, tokenizer=tokenizer, root=root)
        reading.run()
        found += [_of_stage(diagnostic, index) for diagnostic in reading.found]
        lines += [f"{stage.name}: {line}" for line in reading.lines]
    return Audit(diagnostics=tuple(dict.fromkeys(found)), lines=tuple(lines))


@dataclass(kw_only=True, slots=True)
class _Reading:
    """The data of one stage; without the model's tokenizer prompts are counted in bytes, and held to no length."""

    stage: Stage[Never]
    model: Model[Never]
    tokenizer: TextTokenizer | None
    root: Path
    found: list[Diagnostic] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    unread: bool = False
    environment: KnownEnvironment = field(default_factory=KnownEnvironment)

    @property
    def effort(self) -> Effort:
        """All faults are told, and a stream is not read to its end."""
        streaming = any(streams(source) for source in self.stage.data.train)
        most = STREAM_ROWS if streaming else None
        return Effort(malformed=self.stage.data.malformed_rows, workers=self.stage.data.workers, most=most)

    def run(self) -> None:
        try:
            self.environment = known_environment(self.stage, root=self.root)
        except SpecError as fault:
            self.found += fault.diagnostics
        for tool in self.environment.untold:
            self.lines.append(f"{tool}: what prompts tell of it is not counted: a check runs no code")
        train = self.kept(self.train)
        if train is not None and (train or not self.unread):
            epochs = "" if self.unread else f"; {self.steps(len(train))}"
            self.lines.append(f"train: {self.rows(train)}{epochs}")
        settings, rollout = self.stage.eval, self.stage.rollout
        for measured in sampled_sets(settings):
            if not isinstance(rollout, Off):
                self.heldout(measured, partial(self.prompts, (measured,), rollout, Effort()), train)
        for of_pairs in pair_sets(settings):
            self.heldout(of_pairs, partial(self.pairs, (of_pairs,), Effort()), train)
        for of_scores in scored_sets(settings):
            self.heldout(of_scores, partial(self.scores, (of_scores,), Effort()), train)

    def heldout(self, measured: HeldOutSet, read: Callable[[], list[Prompted]], train: list[Prompted] | None) -> None:
        self.apart([measured])
        found = None if measured.code is not OFF else self.kept(read)
        if found is not None:
            self.lines.append(f"held-out {measured.name}: {self.rows(found)}")
            self.found += _in_both(measured, train or (), found, self.root)
            self.found += _two_forms(measured, self.stage.data.train)

    def kept(self, read: Callable[[], list[Prompted]]) -> list[Prompted] | None:
        """What a data set holds, or None after keeping what is wrong with it."""
        try:
            return read()
        except SpecError as fault:
            self.found += fault.diagnostics
            return None

    def train(self) -> list[Prompted]:
        rollout, data = self.stage.rollout, self.stage.data
        self.unread = self.apart(data.train)
        effort = self.effort
        if isinstance(data, PreferenceData):
            return self.pairs([source for source in data.train if source.code is OFF], effort)
        if isinstance(data, ScoredData):
            return self.scores([source for source in data.train if source.code is OFF], effort)
        if isinstance(data, DemonstrationData):
            return self.demonstrations([source for source in data.train if source.code is OFF], effort)
        if isinstance(rollout, Off):
            raise InternalError("a stage that samples has a rollout")
        has_labels = not isinstance(self.stage.reward, Off)
        sources = [source for source in data.train if source.code is OFF]
        return self.prompts(sources, rollout, effort, needs_label=has_labels)

    def tell_dropped(self, dropped: Dropped) -> None:
        if dropped.first is not None:
            self.lines.append(f"{num_rows_phrase(dropped.count)} malformed, and left out: {dropped.first.message}")

    def apart(self, sources: Sequence[TextSource[Never]]) -> bool:
        """Tell what of the data is not read here, or not all of it; return whether there is any."""
        for source in sources:
            if not isinstance(source.code, Off):
                self.lines.append(f"{source.called}: rows of a function are not read: a check runs no code")
            elif streams(source):
                self.lines.append(f"{source.called}: of a stream the first {STREAM_ROWS:,} rows are read")
        return any(streams(source) for source in sources)

    @property
    def tokens_of(self) -> TextTokenizer:
        """What makes tokens of texts."""
        return self.tokenizer or ByteTokenizer()

    @property
    def limit(self) -> Limit:
        """How long a row with its answer may be."""
        limit = context_limit(self.stage, self.model)
        return limit if self.tokenizer else limit._replace(tokens=_NO_LIMIT)

    def demonstrations(self, sources: Sequence[DemonstrationSource[Never]], effort: Effort) -> list[Prompted]:
        return [_prompt_of(row) for row in self.read(sources, DemonstrationReading(self.tokens_of), effort).rows]

    def pairs(self, sources: Sequence[PairSource[Never]], effort: Effort) -> list[Prompted]:
        return [_prompt_of(pair.chosen) for pair in self.read(sources, PreferenceReading(self.tokens_of), effort).rows]

    def scores(self, sources: Sequence[JudgedSource[Never]], effort: Effort) -> list[Prompted]:
        return [_prompt_of(row.answer) for row in self.read(sources, ScoreReading(self.tokens_of), effort).rows]

    def read(
        self, sources: Sequence[S], reading: Reading[T, S], effort: Effort, limit: Limit | None = None
    ) -> Loaded[T]:
        """All rows of some sources, none longer than the context unless another limit is given."""
        found = load_all(sources, reading, limit or self.limit, root=self.root, effort=effort)
        self.tell_dropped(found.dropped)
        return found

    def prompts(
        self,
        sources: Sequence[DataSource[Never]],
        rollout: Generation[Never],
        effort: Effort,
        *,
        needs_label: bool = True,
    ) -> list[Prompted]:
        limit = _NO_LIMIT if self.tokenizer is None else rollout.max_prompt_tokens
        reading = PromptReading(self.tokens_of, needs_label=needs_label, tools=self.environment.schemas)
        loaded = self.read(sources, reading, effort, prompt_limit(limit, rollout.overlong_prompts))
        if loaded.num_overlong:
            verb = "left out" if rollout.overlong_prompts == "drop" else "cut"
            self.lines.append(f"{loaded.num_overlong:,} prompts are longer than {limit:,} tokens, and {verb}")
        check_prompts(self.environment, loaded.rows)
        return [Prompted(prompt.tokens, prompt.source) for prompt in loaded.rows]

    def rows(self, prompts: Sequence[Prompted]) -> str:
        longest = max((len(prompt.tokens) for prompt in prompts), default=0)
        unit = "bytes" if self.tokenizer is None else "tokens"
        return f"{num_rows_phrase(len(prompts))}, the longest prompt of {longest:,} {unit}"

    def steps(self, num_rows: int) -> str:
        """What the steps of a stage take of its rows; adds RLC0672 where one step takes more than there are."""
        rollout, max_steps = self.stage.rollout, self.stage.run.max_steps
        samples = isinstance(rollout, Rollout)
        taken = rollout.prompts_per_step if samples else self.stage.train.global_batch
        name = "rollout.prompts_per_step" if samples else "train.global_batch"
        if 0 < num_rows < taken:
            message = f"a step takes {taken:,} rows, and the training data has {num_rows:,}: an epoch has no whole step"
            way = Help(f"set {name} = {num_rows}, or a divisor of it")
            self.found.append(
                Diagnostic(
                    TOO_FEW, message, help=(way,), rule="BATCH-04", severity="warning", paths=(name, "data.train")
                )
            )
        epochs = taken * max_steps / num_rows if num_rows else 0
        return f"{max_steps:,} steps of {taken:,} are {epochs:.3g} epochs"


def _prompt_of(row: Demonstration) -> Prompted:
    return Prompted(row.tokens[: row.num_prompt_tokens], row.source)


def _in_both(
    measured: HeldOutSet, train: Sequence[Prompted], heldout: Sequence[Prompted], root: Path
) -> tuple[Diagnostic, ...]:
    """Return RLC0671 if prompts that are measured on are trained on, at the first of them."""
    known: dict[tuple[int, ...], str] = {}
    for prompt in train:
        known.setdefault(prompt.tokens, prompt.source)
    both = [prompt for prompt in heldout if prompt.tokens in known]
    if not both:
        return ()
    first = both[0]
    others = f"{len(both):,} of {len(heldout):,} prompts of {measured.name} are trained on"
    message = f"{others}: {first.source} is {known[first.tokens]}"
    way = Help("take them out of one of the two: what is measured on them is memory")
    faults = RowFaults()
    diagnostic = Diagnostic(IN_BOTH, message, help=(way,), severity="warning", paths=("data.train",))
    faults.add(_place(first.source, root), diagnostic, note=f"also {known[first.tokens]}")
    try:
        faults.raise_if_any()
    except SpecError as told:
        return told.diagnostics
    return ()


def _two_forms(measured: HeldOutSet, train: Sequence[TextSource[Never]]) -> Iterator[Diagnostic]:
    """Yield RLC0673 where texts are wrapped as a user's message in training or in measuring only."""
    other = [source for source in train if source.apply_chat_template != measured.apply_chat_template]
    if not other:
        return
    form = {True: "as chat messages", False: "as they are"}
    message = (
        f"{other[0].called} is given to the model {form[other[0].apply_chat_template]}, "
        f"and {measured.called} of {measured.name} {form[measured.apply_chat_template]}"
    )
    way = Help("set apply_chat_template alike for both: the model is measured on what it was trained for")
    yield Diagnostic(TWO_FORMS, message, help=(way,), rule="CFG-08", severity="warning", paths=("data.train",))


def _place(source: str, root: Path) -> Place:
    name, _, line = source.rpartition(":")
    if line.startswith(" row "):
        return Place(root / name, name, int(line.removeprefix(" row ")), is_line=False, shown={})
    return Place(root / name, name, int(line))


def _without_lengths(diagnostic: Diagnostic) -> Diagnostic:
    message = f"the lengths of prompts are not judged: {diagnostic.message}"
    return Diagnostic(NO_TOKENIZER, message, help=diagnostic.help, severity="note", paths=diagnostic.paths)


def _of_stage(diagnostic: Diagnostic, index: int) -> Diagnostic:
    """A diagnostic with whole paths, so that fields of several stages are told apart."""
    paths = tuple(path if path.startswith("model.") else f"stages.{index}.{path}" for path in diagnostic.paths)
    return diagnostic._replace(paths=paths)
