"""Pipelines under construction, and how values pass through the columns of a sink's result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from qtensor.expressions import Expr, conjuncts
from qtensor.lowering.expressions.expressions import lower_condition
from qtensor.lowering.expressions.lowerer import Lowerer
from qtensor.lowering.ir.kernel import DType, Ref
from qtensor.lowering.ir.physical import CheckStep, ExpandSource, FilterStep, PipelineSource, Step
from qtensor.lowering.ir.values import Value

# Gives the instruction that reads column number `position`, of a machine type, of a result.
Loader: TypeAlias = Callable[[int, DType], Ref]


@dataclass
class Stream:
    """A pipeline under construction: its columns are `lowerer.columns`; `ordered` if live rows come first, in final order."""

    source: PipelineSource
    lowerer: Lowerer
    steps: list[Step] = field(default_factory=list)
    ordered: bool = False

    @property
    def bounded(self) -> bool:
        """Whether it is known how many rows there are at most, so that a sink can keep them."""
        return not isinstance(self.source, ExpandSource)

    def flush(self) -> None:
        """Turn the checks of what was lowered so far into steps."""
        self.steps += [CheckStep(condition, check) for condition, check in self.lowerer.pending]
        self.lowerer.pending.clear()

    def filter(self, predicate: Expr) -> None:
        """Keep the rows for which an expression over the columns is true."""
        for part in conjuncts(predicate):  # one by one: an error in one is none for rows that those before it drop
            self.keep(lower_condition(self.lowerer, part))

    def keep(self, condition: Ref | None) -> None:
        """Keep the rows for which a condition holds."""
        self.flush()
        if not self.lowerer.builder.is_constant(condition, True) and condition is not None:
            self.steps.append(FilterStep(condition))
            self.ordered = False


@dataclass(frozen=True)
class Stored:
    """How values lie in a sink's columns: for each value its template and the positions of its parts."""

    columns: tuple[Ref, ...]
    dtypes: tuple[DType, ...]
    values: tuple[tuple[Value, int, int | None, int | None, tuple[int, ...]], ...]

    @staticmethod
    def of(lowerer: Lowerer, values: Sequence[Value]) -> Stored:
        columns: list[Ref] = []

        def position(ref: Ref) -> int:
            if ref not in columns:
                columns.append(ref)
            return columns.index(ref)

        stored = tuple(
            (
                value,
                position(value.data),
                None if value.valid is None else position(value.valid),
                None if value.low is None else position(value.low),
                tuple(position(element) for element in value.elements),
            )
            for value in values
        )
        return Stored(tuple(columns), tuple(lowerer.builder.dtype(ref) for ref in columns), stored)

    def load(self, loader: Loader) -> list[Value]:
        """The values as they are read from the result."""

        def at(position: int) -> Ref:
            return loader(position, self.dtypes[position])

        return [
            replace(
                value,
                data=at(data),
                valid=None if valid is None else at(valid),
                low=None if low is None else at(low),
                elements=tuple(at(element) for element in elements),
            )
            for value, data, valid, low, elements in self.values
        ]


def slots(lowerer: Lowerer, first: int = 0) -> Loader:
    """Reads the columns of the pipeline's source, the result's being those from number `first` on."""
    return lambda position, dtype: lowerer.builder.emit("load", dtype=dtype, attribute=first + position)


def rows_of(lowerer: Lowerer, pipeline: int, row: Ref, columns: Sequence[int] | None = None) -> Loader:
    """Looks up row number `row` of an earlier pipeline's result, whose columns are numbered as in `columns`."""

    def load(position: int, dtype: DType) -> Ref:
        column = position if columns is None else columns[position]
        return lowerer.builder.emit("fetch", row, dtype=dtype, attribute=(pipeline, column))

    return load
