"""How often a batch is ready where groups begin one by one, up to a bound of staleness.

Two things bound it.  So many groups are under way at once, each of which has its places until its longest response is
done, and an engine's cache has room for so many sequences.  And a batch has to be done before those that may be trained
meanwhile are: with a bound of L versions, L + 1 steps take at least as long as the longest response, one training and
one handover, whatever is sampled beside it.
Where both bounds are close, chance costs more than either.  Held against the simulated schedule
(compiler/ir/schedules/loop.py) in tests/compiler/planner/time/test_overlap.py.
"""

from __future__ import annotations

from compiler.diagnostics.named_tuple import NamedTuple
from compiler.planner.time.lengths import Class

_TURNS = 4  # after which the sequences under way and the time of a step agree with one another
_CLOSE = 6  # power of the mean of both bounds, which is their maximum for a large one


class Sampled(NamedTuple):
    """What sampling takes.

    Args:
        busy: seconds of an engine for its share of a batch.
        batch: seconds from the first token of a batch to the last one.
        lag: versions by which samples may be behind where groups begin one by one, else 0.
    """

    busy: float
    batch: float
    lag: int = 0

    def seconds(self, trains: float = 0.0, hands_over: float = 0.0) -> float:
        """Return the seconds of a step in which batches are sampled while others are trained on.

        Args:
            trains: seconds of training on a batch.
            hands_over: seconds of the handover of the weights, which are not among those returned.
        """
        if not self.lag:
            return self.batch
        waited = (self.batch + trains + hands_over) / (self.lag + 1) - hands_over
        least = max(self.busy, waited)
        return least * (1 + (min(self.busy, max(0.0, waited)) / least) ** _CLOSE) ** (1 / _CLOSE) if least > 0 else 0.0


class Decoding(NamedTuple):
    """How an engine decodes.

    Args:
        fixed: seconds of a step without sequences.
        each: seconds more for each of them, at the context that they have on average.
        places: sequences that may be under way at once, in whole groups.
        room: sequences that its cache holds.
    """

    fixed: float
    each: float
    places: float
    room: float


def overlapped(decoding: Decoding, classes: tuple[Class, ...], *, share: float, group: float, lag: int) -> Sampled:
    """Return what it takes to sample batch after batch.

    Args:
        classes: lengths of a batch's responses, the longest one of all engines last.
        share: samples of a batch that an engine has.
    """
    mean = sum(one.share * one.tokens for one in classes)
    last = _longest_of(classes, group)
    groups = max(1.0, min(decoding.places // group, share / group * (lag + 1)))
    most = min(groups * group * mean / last, decoding.room)  # of a group, so many responses are not done on average
    longest = classes[-1].tokens
    busy = share * mean / most * (decoding.fixed + decoding.each * most)
    under_way = share * mean / longest
    batch = 0.0
    for _ in range(_TURNS):
        batch = longest * (decoding.fixed + decoding.each * under_way)
        frac = max(busy, batch / (lag + 1)) / batch
        beside = 1.0 + sum(
            _done(classes, mean, longest * (1 - n * frac)) + 1 - _done(classes, mean, longest * n * frac)
            for n in range(1, lag + 1)
            if n * frac < 1
        )
        under_way = min(most, (under_way + share * mean / longest * beside) / 2)
    return Sampled(busy, batch, lag)


def _longest_of(classes: tuple[Class, ...], group: float) -> float:
    """Tokens of a group's longest response, on average."""
    found = below = 0.0
    for one in classes:
        reached = min(1.0, below + one.share)
        found += one.tokens * (reached**group - below**group)
        below = reached
    return found


def _done(classes: tuple[Class, ...], mean: float, tokens: float) -> float:
    """The share of a batch's tokens that are there once each response has so many, or all of its own."""
    return sum(one.share * min(one.tokens, tokens) for one in classes) / mean
