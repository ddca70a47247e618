"""From a query of a connection to an artifact: what `Relation.export` and `qtensor.export` share."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from qtensor.aot.artifact.export import ROWS_OF_TYPES, Exportable, facts_of_types, write_artifact
from qtensor.aot.artifact.facts import TableFacts
from qtensor.aot.native.export import export_native
from qtensor.bind import bind
from qtensor.catalog import Scope
from qtensor.errors import UnsupportedError
from qtensor.logical import Plan
from qtensor.lowering.ir.physical import SourceColumn
from qtensor.lowering.ir.ranges import Range
from qtensor.lowering.models.model import Model
from qtensor.optimise.facts.statistics import ColumnStatistics, NoStatistics
from qtensor.row_numbers import table_numbered
from qtensor.run.measured import MeasuredTables
from qtensor.run.prepared import Query, named_parameters


def export_query(
    query: Query,
    scope: Scope,
    models: Mapping[str, Model],
    path: str | os.PathLike[str],
    threads: int,
    only_types: Collection[str] = (),
) -> str:
    """Write `query` as an artifact. only_types: tables of which only the columns' types are assumed. Returns its digest."""
    exportable = exportable_query(query, scope, models, threads, only_types)
    try:
        return write_artifact(exportable, path)
    except UnsupportedError as error:
        raise error.shown_in(query.sql) from None


def export_native_query(
    query: Query, scope: Scope, models: Mapping[str, Model], folder: str | os.PathLike[str], name: str, threads: int
) -> None:
    """Write `query` as a native library; see `Relation.export_native`."""
    exportable = exportable_query(query, scope, models, threads)
    try:
        export_native(exportable, folder, name)
    except UnsupportedError as error:
        raise error.shown_in(query.sql) from None


def exportable_query(
    query: Query, scope: Scope, models: Mapping[str, Model], threads: int, only_types: Collection[str] = ()
) -> Exportable:
    """The bound query, with what is to be assumed of its tables."""
    if query.swept is not None:
        raise UnsupportedError("not supported yet: to export a sweep; export the query, whose parameters may have other values")
    bound = bind(query.sql, scope, query.parameters, query.dialect)
    if any(table_numbered(name) is not None for name in scope.tables):
        raise UnsupportedError("not supported yet: rowid in a query that is exported", query.sql)
    measured = MeasuredTables(scope.tables, threads)

    def facts(table: str, columns: Sequence[int]) -> TableFacts:
        fields = scope.tables[table].fields
        if table.lower() in only_types:
            return facts_of_types(fields, columns)
        source = measured.source(table, columns)
        strings = {index: power_of_two(size) for (name, index), size in measured.dictionary_sizes.items() if name == table}
        described = {column.index: with_strings(column, strings.get(column.index)) for column in source.columns}
        return TableFacts(fields, described, strings, max(1, scope.tables[table].rows))

    def bind_again(parameters: Mapping[str, object]) -> Plan:
        values = parameters if isinstance(query.parameters, Mapping) else list(parameters.values())
        return bind(query.sql, scope, values, query.dialect)

    by_name = {model.name: model for model in models.values()}
    known = {name: table for name, table in scope.tables.items() if name.lower() not in only_types}
    statistics = ExportStatistics(measured, only_types)
    return Exportable(
        query.sql, query.dialect, named_parameters(query.parameters), bound, by_name, facts, statistics, known, bind_again
    )


class ExportStatistics:
    """What the tables at hand tell the optimiser; `only_types`: those of which nothing is known."""

    of_examples = True

    def __init__(self, measured: MeasuredTables, only_types: Collection[str]) -> None:
        self._measured = measured
        self._only_types = only_types

    def rows(self, table: str) -> int:
        return ROWS_OF_TYPES if table.lower() in self._only_types else max(1, self._measured.rows(table))

    def column(self, table: str, index: int) -> ColumnStatistics:
        return NoStatistics().column(table, index) if table.lower() in self._only_types else self._measured.column(table, index)

    def unique(self, table: str, columns: Sequence[int]) -> bool:
        return table.lower() not in self._only_types and self._measured.unique(table, columns)


def power_of_two(size: int) -> int:
    """How many different strings an artifact allows for a column that has `size`."""
    return 1 << max(0, size - 1).bit_length()


def with_strings(column: SourceColumn, strings: int | None) -> SourceColumn:
    """A column of text assumed to have as many codes as `strings`."""
    if strings is None:
        return column
    bounds = Range(0, strings - 1)
    return replace(column, range=bounds, dtype=bounds.dtype)
