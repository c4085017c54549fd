"""Identities between fields of a stage or of the machine: each derives its one unknown, is checked, or names several.

Products of whole numbers on both sides, solved exactly; a factor may be less by another number.  A field that a stage
does not have counts as 1: what does not sample has no `steps_per_rollout`.  Where a stage has nothing of a whole side,
the equation says nothing: what does not sample has no batch identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import gcd

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.ir.paths import read
from compiler.ir.record import Record

Factors = dict[str, int | None]


class Ratio(NamedTuple):
    """A positive fraction in lowest terms.  (The library's own takes as long to load as the whole schema.)"""

    numerator: int
    denominator: int

    @property
    def whole(self) -> int | None:
        """The number, if it is a whole one."""
        return self.numerator if self.denominator == 1 else None

    @property
    def is_below_one(self) -> bool:
        """Whether rounding down would give zero."""
        return self.numerator < self.denominator

    def __str__(self) -> str:
        return f"{self.numerator}/{self.denominator}" if self.denominator > 1 else str(self.numerator)


class Equation(NamedTuple):
    """`left` factors multiplied are equal to `right` factors multiplied; paths are relative to what they are of.

    `assume` are the fields whose assumed value is taken, in this order, while more than one unknown is left.  `methods`
    are choices of how to learn: nothing proposes another one to make numbers fit, unless it is written.  `less` names a
    factor and the number that is taken off it, where a stage has that, and as long as something is left.
    """

    name: str
    meaning: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    assume: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    less: tuple[str, str] | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """All factors."""
        return self.left + self.right

    def factors(self, stage: Record) -> Factors:
        """Return the factors that a stage has: numbers, or None where nobody has decided."""
        values: Factors = {}
        for field in self.fields:
            try:
                value = read(stage, field)
            except KeyError:
                continue
            values[field] = value if isinstance(value, int) else None
        if self.less is not None:
            try:
                taken = read(stage, self.less[1])
            except KeyError:
                taken = 0
            if isinstance(taken, int) and taken > 0:
                values[self.less[1]] = taken
        return values

    def inputs(self, values: Factors, field: str) -> tuple[str, ...]:
        """Return the fields that one of them is solved from."""
        taken = () if self.less is None else (self.less[1],)
        return tuple(f for f in (*self.fields, *taken) if f in values and f != field)

    def unknowns(self, values: Mapping[str, int | None]) -> tuple[str, ...]:
        """Return the factors that the stage has and nobody has fixed; none where the equation says nothing."""
        if not all(any(field in values for field in side) for side in (self.left, self.right)):
            return ()
        return tuple(f for f in self.fields if f in values and values[f] is None)

    def solve(self, field: str, values: Mapping[str, int | None]) -> Ratio:
        """Return what `field` must be, given all the others."""
        same, other = (self.left, self.right) if field in self.left else (self.right, self.left)
        values = self._reduced(values)
        above, below = _product(other, values), _product(tuple(f for f in same if f != field), values)
        if self.less is not None and field == self.less[0]:
            above += below * (values.get(self.less[1]) or 0)
        common = gcd(above, below)
        return Ratio(above // common, below // common)

    def sides(self, values: Mapping[str, int | None]) -> tuple[int, int]:
        """Return both products; every factor must be known."""
        values = self._reduced(values)
        return _product(self.left, values), _product(self.right, values)

    def _reduced(self, values: Mapping[str, int | None]) -> Mapping[str, int | None]:
        """The factors with what is taken off one of them; a rule speaks where nothing would be left."""
        if self.less is None:
            return values
        whole, taken = values.get(self.less[0]), values.get(self.less[1]) or 0
        return {**values, self.less[0]: whole - taken} if whole is not None and whole > taken else values

    def __str__(self) -> str:
        names = [[self._named(field) for field in side] for side in (self.left, self.right)]
        return f"{' x '.join(names[0])} = {' x '.join(names[1])}"

    def _named(self, field: str) -> str:
        return f"({field} - {self.less[1]})" if self.less is not None and field == self.less[0] else field


def _product(factors: tuple[str, ...], values: Mapping[str, int | None]) -> int:
    product = 1
    for factor in factors:
        value = values.get(factor, 1)
        if value is None:
            raise ValueError(f"{factor} is not known")
        product *= value
    return product


BATCH_IDENTITY = Equation(
    name="batch identity",
    meaning="what a rollout yields is what its optimizer steps consume",
    left=("rollout.prompts_per_step", "rollout.samples_per_prompt"),
    right=("train.global_batch", "train.steps_per_rollout"),
    assume=("train.steps_per_rollout",),
)

OPTIMIZER_HORIZON = Equation(
    name="optimizer horizon",
    meaning="the learning-rate schedule ends with the stage",
    left=("run.max_steps", "train.steps_per_rollout", "train.epochs_per_rollout"),
    right=("optim.total_steps",),
    assume=("train.steps_per_rollout",),
    methods=("train.epochs_per_rollout",),
    less=("run.max_steps", "critic.warmup_rollouts"),
)

EQUATIONS = (BATCH_IDENTITY, OPTIMIZER_HORIZON)

# Of the whole experiment, whose paths these are: there is one machine for all stages.
GPU_IDENTITY = Equation(
    name="GPU identity",
    meaning="the axes of parallelism fill the GPUs that train",
    left=("parallel.tp", "parallel.pp", "parallel.cp", "parallel.dp"),
    right=("placement.train_gpus",),
    assume=("parallel.cp", "parallel.pp", "parallel.tp"),
)

NAMED = (*EQUATIONS, GPU_IDENTITY)
