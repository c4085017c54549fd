"""Identities between fields of a stage or of the machine: each derives its one unknown, is checked, or names several.

Products of whole numbers on both sides, solved exactly.  A field that a stage does not have counts as 1:
a stage that does not sample has no `steps_per_rollout`.  Where a stage has nothing of a whole side, the equation says
nothing: what does not sample has no batch identity.
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
    are choices of how to learn: nothing proposes another one to make numbers fit, unless it is written.
    """

    name: str
    meaning: str
    left: tuple[str, ...]
    right: tuple[str, ...]
    assume: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

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
        return values

    def unknowns(self, values: Mapping[str, int | None]) -> tuple[str, ...]:
        """Return the factors that the stage has and nobody has fixed; none where the equation says nothing."""
        if not all(any(field in values for field in side) for side in (self.left, self.right)):
            return ()
        return tuple(f for f in self.fields if f in values and values[f] is None)

    def solve(self, field: str, values: Mapping[str, int | None]) -> Ratio:
        """Return what `field` must be, given all the others."""
        same, other = (self.left, self.right) if field in self.left else (self.right, self.left)
        above, below = _product(other, values), _product(tuple(f for f in same if f != field), values)
        common = gcd(above, below)
        return Ratio(above // common, below // common)

    def sides(self, values: Mapping[str, int | None]) -> tuple[int, int]:
        """Return both products; every factor must be known."""
        return _product(self.left, values), _product(self.right, values)

    def __str__(self) -> str:
        return f"{' x '.join(self.left)} = {' x '.join(self.right)}"


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
