"""Statements carried out: a table changes when all that can fail has been done, a file appears when it is whole.

What a statement reads, and what it computes of it, are compiled queries like all others.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import assert_never

import numpy as np
import pyarrow as pa

from qtensor.bind.statements.dispatch import bind_statement, may_change
from qtensor.catalog import Registry, Scope
from qtensor.errors import DataError
from qtensor.explain.levels import physical, timings
from qtensor.files.whole_file import whole_file
from qtensor.logical import Plan
from qtensor.lowering.models.model import Model
from qtensor.optimise.driver import optimise
from qtensor.process.calls import check, committing
from qtensor.results.writing import ROWS_AT_ONCE, write_rows
from qtensor.run.measured import MeasuredTables
from qtensor.run.prepared import Query
from qtensor.run.session import Session
from qtensor.statement import (
    Copy,
    CreateTable,
    CreateView,
    Delete,
    Describe,
    Drop,
    Explain,
    Insert,
    Nothing,
    ShowTables,
    Statement,
    Summarize,
    TableDefinition,
    Update,
)
from qtensor.statements.changes import appended, arrow_rows, changed, without
from qtensor.statements.constants import constant_rows, is_constant
from qtensor.statements.created import CreatedTable
from qtensor.statements.result import Result, answer, counted, created, dropped, empty_table
from qtensor.statements.summarize import summarize
from qtensor.streaming.prepare import batches_of, prepare, prepare_plan, rows_of
from qtensor.types import VARCHAR, Field

_CHANGES = (CreateTable, CreateView, Insert, Delete, Update, Drop)
_DESCRIBED = tuple(Field(name, VARCHAR) for name in ("column_name", "column_type", "null", "key", "default", "extra"))
_EXPLAINED = (Field("explain_key", VARCHAR), Field("explain_value", VARCHAR))


@dataclass(frozen=True)
class Runner:
    """What statements run with; `query` is the statement as the user wrote it, `scope` the names it sees.

    lock: the connection's for statements that change tables, which hold it from their binding to their end.
    """

    lock: threading.RLock
    session: Session
    registry: Registry
    scope: Scope
    models: Mapping[str, Model]
    query: Query

    def run(self) -> Result | None:
        """Carry the statement out; None if it is a query.

        Raises what binding and running queries raise; then nothing has changed.
        """
        with self.lock if may_change(self.query.sql) else contextlib.nullcontext():
            statement = bind_statement(self.query.sql, self.scope, self.query.parameters, self.query.dialect)
            if isinstance(statement, _CHANGES):
                return self._carried_out(statement)
        return None if statement is None else self._carried_out(statement)

    def _carried_out(self, statement: Statement) -> Result:
        match statement:
            case CreateTable(definition, plan):
                return self._create(definition, plan)
            case CreateView(view):
                with committing():
                    self.registry.add_view(view)
                return created()
            case Insert(name, plan):
                rows = self._rows(plan)
                self._replace(name, appended(self._table(name), rows, self.session.threads))
                return counted(rows.num_rows)
            case Delete(name, plan):
                return self._delete(name, plan)
            case Update(name, columns, plan):
                new, count = changed(self._table(name), columns, self._rows(plan), self.session.threads)
                self._replace(name, new)
                return counted(count)
            case Drop(names):
                with committing():
                    self.registry.drop(names)
                return dropped()
            case Nothing(kind):
                return created() if kind == "create" else dropped()
            case Describe():
                return describe(statement)
            case ShowTables(names):
                return answer((Field("name", VARCHAR),), [pa.array(names, pa.string())])
            case Summarize(plan):
                return summarize(self.session, plan.schema, self._rows(plan))
            case Explain(sql, analyze):
                return self._explain(sql, analyze)
            case Copy():
                return self._copy(statement)
            case _:
                assert_never(statement)

    def _rows(self, plan: Plan) -> pa.Table:
        """The rows of a plan: constants as they are, everything else by a compiled query."""
        if is_constant(plan):
            rows = constant_rows(optimise(plan, None, MeasuredTables(self.scope.tables, self.session.threads)))
            if rows is not None:
                return rows
        return rows_of(self.session, prepare_plan(self.session, self.query, plan, self.scope, self.models))

    def _batches(self, plan: Plan) -> Iterator[pa.Table]:
        """The rows of a plan, as they come."""
        if is_constant(plan):
            yield self._rows(plan)
        else:
            yield from batches_of(self.session, prepare_plan(self.session, self.query, plan, self.scope, self.models))

    def _table(self, name: str) -> CreatedTable:
        table = self.registry.created(name)
        if table is None:
            raise DataError(f'the table "{name}" was dropped while a statement was about to change it')
        return table

    def _replace(self, name: str, new: CreatedTable) -> None:
        with committing():
            self.registry.replace(self._table(name), new)

    def _create(self, definition: TableDefinition, plan: Plan | None) -> Result:
        rows = empty_table(definition.schema) if plan is None else arrow_rows(definition, self._rows(plan))
        table = CreatedTable(definition, rows)
        with committing():
            self.registry.create(table)
        return created() if plan is None else counted(rows.num_rows)

    def _delete(self, name: str, plan: Plan | None) -> Result:
        table = self._table(name)
        numbers = table.numbers if plan is None else np.unique(self._rows(plan).column(0).to_numpy())
        self._replace(name, without(table, numbers))
        return counted(len(numbers))

    def _explain(self, sql: str, analyze: bool) -> Result:
        query = replace(self.query, sql=sql)
        prepared = prepare(self.session, query, self.scope, self.models)
        key, text = ("analyzed_plan", timings(self.session, prepared)) if analyze else ("physical_plan", physical(prepared))
        return answer(_EXPLAINED, [pa.array([key]), pa.array([text])])

    def _copy(self, copy: Copy) -> Result:
        written = 0
        tables = self._batches(copy.plan)
        first = next(tables)  # what is wrong with the query is found before the file

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal written
            for rows in itertools.chain([first], tables):
                check()
                written += rows.num_rows
                yield from rows.to_batches(max_chunksize=ROWS_AT_ONCE)

        try:
            with whole_file(Path(copy.path).expanduser()) as file:
                write_rows(pa.RecordBatchReader.from_batches(first.schema, batches()), copy.options, file)
                check()  # the file appears when this block is left
        except (OSError, ValueError, pa.ArrowException) as error:  # ValueError: a path with a null character
            raise DataError(f"{copy.path} cannot be written: {error}") from error
        return counted(written)


def describe(statement: Describe) -> Result:
    """A row for each column, as DuckDB says it."""
    columns = statement.columns
    rows = [
        [column.name for column in columns],
        [str(column.type) for column in columns],
        ["YES" if column.nullable else "NO" for column in columns],
        statement.keys,
        [column.shown for column in columns],
        [None] * len(columns),
    ]
    return answer(_DESCRIBED, [pa.array(values, pa.string()) for values in rows])
