"""How everything here is timed: contestants check each other's rows first, then take turns, so that noise hits all of them."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import pyarrow as pa

TURN_SECONDS = 0.03
TURN_CALLS = 20
WARM_CALLS = 10

Row = tuple[object, ...]


class WrongResultError(Exception):
    """Two contestants answer the same question differently: there is nothing to time."""


@dataclass(frozen=True)
class Contestant:
    """One way to answer a query. `run` does everything a user waits for and returns the rows.

    settle: seconds of quiet after its turn, for one that goes on working once it has answered, as Java does.
    note: what a reader of the figures should know.
    """

    name: str
    run: Callable[[], pa.Table]
    settle: float = 0.0
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """The wall-clock seconds of each timed call of one contestant."""

    name: str
    seconds: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        """Seconds."""
        return statistics.median(self.seconds)


@dataclass(frozen=True)
class Contest:
    """One question, and how long each contestant took to answer it."""

    name: str
    measured: tuple[Measured, ...]
    skipped: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float | None:
        """Median seconds of a contestant, None where it did not take part."""
        return next((one.median for one in self.measured if one.name == name), None)

    def ratio(self, slower: str, faster: str) -> float | None:
        """How many times longer the median of `slower` is than that of `faster`, None where one did not take part."""
        numerator, denominator = self.median(slower), self.median(faster)
        return None if numerator is None or denominator is None else numerator / denominator


@dataclass(frozen=True)
class Sameness:
    """How near numbers of floating point have to be, and whether the order of rows counts.

    Engines add in different orders: hence nine digits. Models compute in float32, each library in its own order.
    """

    relative: float = 1e-9
    absolute: float = 0.0
    ordered: bool = True


EXACT = Sameness()


@dataclass(frozen=True)
class Effort:
    """How long to go on: up to `rounds` rounds, but after `least` of them no longer than `seconds`.

    warm_seconds: how long a slow contestant is warmed up, since Java takes its time to compile what it runs.
    """

    rounds: int
    least: int
    seconds: float
    warm_seconds: float


def contest(
    name: str,
    contestants: Sequence[Contestant],
    effort: Effort,
    *,
    reference: Sequence[Row] | None = None,
    skipped: dict[str, str] | None = None,
    sameness: Sameness = EXACT,
) -> Contest:
    """Check that all contestants give the same rows, warm them up, then time them in turns, in another order each round.

    reference: the right rows, where something independent of all contestants computed them; else the first contestant's.
    Raises WrongResultError before anything is timed.
    """
    check_rows(name, contestants, reference, sameness)
    typical = {contestant.name: warm_up(contestant.run, effort.warm_seconds) for contestant in contestants}
    samples: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
    order, shuffler = list(contestants), random.Random(0)
    start = time.perf_counter()
    for number in range(effort.rounds):
        if number >= effort.least and time.perf_counter() - start > effort.seconds:
            break
        shuffler.shuffle(order)
        for contestant in order:
            samples[contestant.name] += turn(contestant.run, typical[contestant.name])
            time.sleep(contestant.settle)
    measured = tuple(Measured(one.name, tuple(samples[one.name]), one.note) for one in contestants)
    return Contest(name, measured, skipped or {})


def warm_up(run: Callable[[], object], enough: float) -> float:
    """Call `run` a few times, or for as many seconds as are enough; the least seconds that a call took."""
    seconds = [timed(run)]
    while len(seconds) < WARM_CALLS and sum(seconds) < enough:
        seconds.append(timed(run))
    return min(seconds)


def turn(run: Callable[[], object], typical: float) -> list[float]:
    """Seconds of each timed call of one turn.

    A call that typically is long is a turn. A short one is called repeatedly, the first time untimed: it would measure how
    cold the contestant before left the caches of the processor.
    """
    if typical > TURN_SECONDS:
        return [timed(run)]
    run()
    samples: list[float] = []
    while not samples or (len(samples) < TURN_CALLS and sum(samples) < TURN_SECONDS):
        samples.append(timed(run))
    return samples


def timed(run: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def check_rows(
    name: str, contestants: Sequence[Contestant], reference: Sequence[Row] | None = None, sameness: Sameness = EXACT
) -> None:
    """Raises WrongResultError unless every contestant gives the rows of `reference`, or of the first contestant."""
    expected = None if reference is None else list(reference)
    for contestant in contestants:
        rows = rows_of(contestant.run())
        if expected is None:
            expected = rows
        if not same_rows(rows, expected, sameness):
            raise WrongResultError(f"{name}: {contestant.name} gives\n  {some(rows)}\nwhere\n  {some(expected)}\nis right")


def some(rows: Sequence[Row]) -> str:
    """The rows as text, of many the first ones."""
    return f"{list(rows)}" if len(rows) <= 100 else f"{list(rows[:100])} and {len(rows) - 100:,} rows more"


def rows_of(table: pa.Table) -> list[Row]:
    """The rows as Python tuples."""
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def same_rows(left: Sequence[Row], right: Sequence[Row], sameness: Sameness = EXACT) -> bool:
    """Equal in number, order and value, whatever the types of the columns are.

    Integers and decimals are compared exactly, floating-point numbers as `sameness` says. Where order does not count, rows are
    sorted by value, so that something exact should come first in them.

    >>> same_rows([(1, Decimal("2.50"))], [(Decimal(1), 2.5)]), same_rows([(1, 2)], [(1, 3)])
    (True, False)
    >>> same_rows([(1,), (2,)], [(2,), (1,)]), same_rows([(1,), (2,)], [(2,), (1,)], Sameness(ordered=False))
    (False, True)
    """
    if not sameness.ordered:
        left, right = sorted(left), sorted(right)  # type: ignore[type-var]
    return len(left) == len(right) and all(
        len(a) == len(b) and all(same_value(x, y, sameness) for x, y in zip(a, b, strict=True))
        for a, b in zip(left, right, strict=True)
    )


def same_value(left: object, right: object, sameness: Sameness = EXACT) -> bool:
    if isinstance(left, float | Decimal | int) and isinstance(right, float | Decimal | int):
        if isinstance(left, float) or isinstance(right, float):
            return math.isclose(left, right, rel_tol=sameness.relative, abs_tol=sameness.absolute)
        return left == right
    return left == right
