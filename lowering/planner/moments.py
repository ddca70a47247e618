"""Variances, correlations and regressions: what they accumulate, and their formulas over the accumulated moments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtensor.expressions import AggregateCall
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import Ref
from qtensor.lowering.ir.physical import MomentsAccumulator, SortWord
from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.ir.values import Value
from qtensor.lowering.planner.finishing import Finisher, load

MOST_ROWS = (1 << 32) - 1  # what a UINTEGER, the type of regr_count, holds


def accumulator(lowerer: Lowerer, values: list[Value], mask: Ref | None, distinct: tuple[SortWord, ...]) -> MomentsAccumulator:
    """Of one value, or of y and x."""
    return MomentsAccumulator(tuple(lowerer.builder.convert(value.data, "float64") for value in values), mask, distinct)


@dataclass(frozen=True)
class Moments:
    """The accumulated columns of a group, as float64 but for `rows`: of one value that of `y` alone."""

    lowerer: Lowerer
    rows: Ref
    mean_y: Ref
    squares_y: Ref
    mean_x: Ref
    squares_x: Ref
    products: Ref

    @staticmethod
    def at(lowerer: Lowerer, slot: int, pair: bool) -> Moments:
        y, x = slot + 1, slot + 3 if pair else slot + 1
        refs = [load(lowerer, position, "float64") for position in (y, y + 1, x, x + 1, slot + 5 if pair else y + 1)]
        return Moments(lowerer, load(lowerer, slot, "int64"), *refs)

    @property
    def count(self) -> Ref:
        return self.lowerer.builder.convert(self.rows, "float64")

    def number(self, value: float) -> Ref:
        return self.lowerer.builder.constant(value, "float64")

    def apply(self, op: str, *operands: Ref) -> Ref:
        return self.lowerer.builder.emit(op, *operands, dtype="float64")

    def more_than(self, rows: int) -> Ref:
        """Whether the group has more than so many rows."""
        return self.lowerer.builder.compare("greater", self.rows, self.lowerer.integer(rows))

    def squares(self, of: Ref) -> Ref:
        """A sum of squared distances; that of a single row is 0, infinite or NaN as it may be."""
        return self.lowerer.builder.select(self.more_than(1), of, self.number(0.0))

    def population(self, of: Ref) -> Ref:
        return self.apply("divide", of, self.count)

    def sample(self, of: Ref) -> Ref:
        return self.apply("divide", of, self.apply("subtract", self.count, self.number(1.0)))

    def root(self, of: Ref) -> Ref:
        return self.apply("sqrt", of)

    def is_zero(self, of: Ref) -> Ref:
        return self.lowerer.builder.compare("equal", of, self.number(0.0))

    def correlation(self) -> Ref:
        """NaN where a value does not vary."""
        deviations = [self.root(self.population(self.squares(of))) for of in (self.squares_y, self.squares_x)]
        return self.apply("divide", self.population(self.products), self.apply("multiply", *deviations))

    def slope(self) -> Ref:
        """NaN where x does not vary."""
        return self.apply("divide", self.population(self.products), self.population(self.squares(self.squares_x)))

    def intercept(self) -> Ref:
        return self.apply("subtract", self.mean_y, self.apply("multiply", self.slope(), self.mean_x))

    def determination(self) -> Ref:
        """The square of the correlation; 1 where y does not vary."""
        correlation = self.correlation()
        still = self.is_zero(self.squares(self.squares_y))
        return self.lowerer.builder.select(still, self.number(1.0), self.apply("multiply", correlation, correlation))

    def varies(self) -> Ref | None:
        """Whether there are rows, and x differs among them."""
        varies = self.lowerer.builder.negation(self.is_zero(self.squares(self.squares_x)))
        return self.lowerer.builder.both(self.more_than(0), varies)

    def slopes(self) -> Ref | None:
        """Whether there are rows, and their slope is finite."""
        size = self.apply("abs", self.slope())
        finite = self.lowerer.builder.compare("less", size, self.number(float("inf")))
        return self.lowerer.builder.both(self.more_than(0), finite)


FORMULAS: dict[str, Callable[[Moments], Ref]] = {
    "var_pop": lambda m: m.population(m.squares(m.squares_y)),
    "var_samp": lambda m: m.sample(m.squares_y),
    "stddev_pop": lambda m: m.root(m.population(m.squares(m.squares_y))),
    "stddev_samp": lambda m: m.root(m.sample(m.squares_y)),
    "sem": lambda m: m.root(m.population(m.population(m.squares(m.squares_y)))),
    "covar_pop": lambda m: m.population(m.products),
    "covar_samp": lambda m: m.sample(m.products),
    "corr": Moments.correlation,
    "regr_sxx": lambda m: m.squares(m.squares_x),
    "regr_syy": lambda m: m.squares(m.squares_y),
    "regr_sxy": lambda m: m.products,
    "regr_slope": Moments.slope,
    "regr_intercept": Moments.intercept,
    "regr_r2": Moments.determination,
}
OF_TWO_ROWS = ("var_samp", "stddev_samp", "covar_samp")


def finisher(call: AggregateCall, index: int) -> Finisher:
    """The value of `call` from accumulator `index`."""

    def finish(lowerer: Lowerer, slots: dict[int, int]) -> Value:
        moments = Moments.at(lowerer, slots[index], pair=len(call.arguments) == 2)
        if call.function == "regr_count":
            return Value(call.type, moments.rows, range=Range(0, MOST_ROWS))
        data = FORMULAS[call.function](moments)
        if call.function in OF_TWO_ROWS:
            return Value(call.type, data, moments.more_than(1))
        if call.function == "regr_intercept":
            return Value(call.type, data, moments.slopes())
        if call.function == "regr_r2":
            return Value(call.type, data, moments.varies())
        return Value(call.type, data, moments.more_than(0))

    return finish
