"""Which tables of a query are streamed: those whose columns do not fit memory, or that a user wants to be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qtensor.logical import Aggregate, Join, Plan, Sort, Window, inputs, scans_of
from qtensor.lowering.ir.ranges import Range
from qtensor.optimise.facts.estimates import Estimator
from qtensor.sources.facts import ColumnFacts
from qtensor.sources.table import Table
from qtensor.streaming.blocks import TableParts
from qtensor.streaming.pruning import Condition
from qtensor.types import Boolean, Date, Decimal, Float, Integer, Schema, SqlType, Unsupported, Varchar

MOST_ROWS = 1 << 22  # of a block: more make it no faster
LEAST_ROWS = 1 << 11
_SHARE_OF_BLOCK = 24  # a block is read while another one is at work, each with all that is made of it
_SHARE_OF_COLUMNS = 2  # beside the columns that a query reads stands what it makes of them
_COPIES = 2  # of what an operator keeps: as it comes, and as it goes
_MANY_GROUPS = 1 << 20  # of fewer there is a slot for each
_SHARE_OF_SMALL = 8  # what queries make of tables that are so small fits, too
_SHARE_OF_LARGE = 32  # smaller tables are read before all are known
_TEXT = 16  # bytes of a text of which nothing is known


@dataclass(frozen=True)
class Streamed:
    """A table that a query reads part by part, of up to `rows` rows each: `columns` of it."""

    name: str
    table: Table
    rows: int
    columns: Sequence[int]
    threads: int

    def parts(self) -> Sequence[Table]:
        """The parts, none of them read yet."""
        parts = self.table.parts(self.rows)
        assert parts is not None, "a table that cannot be cut"
        return parts

    def leaf(self, conditions: Sequence[Condition]) -> TableParts:
        """The table's rows; without parts of which no row meets the conditions."""
        ranges = {index: self.table.facts(index).range for index in self.columns}
        hints = {index: range for index, range in ranges.items() if range is not None}

        def keep(part: Table) -> bool:
            return all(condition.may_hold(part.facts(condition.column)) for condition in conditions)

        return TableParts(self.name, self.parts, self.threads, hints, keep)


def streamed_tables(
    plan: Plan, tables: Mapping[str, Table], limit: int, threads: int, estimator: Estimator
) -> dict[str, Streamed]:
    """The tables of an optimised plan that are streamed under a limit of memory, the largest first.

    estimator: of the rows that parts of the plan have.
    """
    scans = scans_of(plan)
    sizes = {name: bytes_of(tables[name], columns) for name, columns in scans.items()}
    needed, found = sum(sizes.values()), {}
    too_much = needed + state_of(plan, estimator) > limit
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        table = tables[name]
        if table.rows and (table.stream or needed > limit // _SHARE_OF_COLUMNS or too_much):
            width = max(1, sizes[name] // table.rows)
            rows = max(LEAST_ROWS, min(MOST_ROWS, limit // _SHARE_OF_BLOCK // width))
            if table.parts(rows) is not None:
                needed -= sizes[name]
                found[name] = Streamed(name, table, rows, scans[name], threads)
                too_much = False  # what blocks leave is kept in parts
    return found


def state_of(plan: Plan, estimator: Estimator) -> float:
    """About how many bytes a query over tables in memory takes beside their columns."""
    return own_state(plan, estimator, [plan]) + estimator.rows(plan) * row_width(plan.schema) * _COPIES


def own_state(plan: Plan, estimator: Estimator, seen: list[Plan]) -> float:
    """What the operators of a plan keep, each part of it once."""
    below = 0.0
    for input in inputs(plan):
        if not any(input is part for part in seen):
            seen.append(input)
            below += own_state(input, estimator, seen)
    match plan:
        case Aggregate(input=input, keys=keys) if keys:
            groups = estimator.rows(plan)
            sorted_rows = estimator.rows(input) * 8 if groups > _MANY_GROUPS else 0
            return below + groups * row_width(plan.schema) * _COPIES + sorted_rows * _COPIES
        case Sort(input=input) | Window(input=input):
            return below + estimator.rows(input) * row_width(plan.schema) * _COPIES
        case Join(right=right):
            return below + estimator.rows(right) * row_width(right.schema)
        case _:
            return below


def row_width(schema: Schema) -> int:
    """About the bytes of a row of results."""
    return sum(map(width_of_result, (field.type for field in schema)))


def width_of_result(type: SqlType) -> int:
    """About those of a value."""
    match type:
        case Varchar() | Unsupported():
            return _TEXT + 4
        case Decimal():
            return 16
        case _:
            return 8


def large_tables(plan: Plan, tables: Mapping[str, Table], limit: int) -> set[str]:
    """Tables of a plan that is not optimised yet which are not to be read only to plan it: they may be streamed."""
    scans = scans_of(plan)
    sizes = {name: bytes_of(tables[name], columns) for name, columns in scans.items()}
    if sum(sizes.values()) <= limit // _SHARE_OF_SMALL:
        return {name for name in scans if tables[name].stream}
    return {name for name, size in sizes.items() if tables[name].stream or size > limit // _SHARE_OF_LARGE}


def bytes_of(table: Table, columns: Sequence[int]) -> int:
    """About how much memory columns of a table take."""
    return sum(table.rows * width_of(table.fields[index].type, table.facts(index), table.rows) for index in columns)


def width_of(type: SqlType, facts: ColumnFacts, rows: int) -> int:
    """About the bytes of a value, and of whether there is one."""
    valid = 0 if facts.nulls == 0 else 1
    match type:
        case Boolean():
            return 1 + valid
        case Float(bits=bits):
            return bits // 8 + valid
        case Varchar() | Unsupported():
            return 4 + valid + (_TEXT if facts.bytes is None else facts.bytes // max(rows, 1))
        case Integer() | Decimal() | Date() if facts.range is not None:
            return int(Range(*facts.range).dtype.removeprefix("int")) // 8 + valid
        case Date():
            return 4 + valid
        case Integer(bits=bits):
            return min(bits, 64) // 8 + valid
        case _:
            return 8 + valid
