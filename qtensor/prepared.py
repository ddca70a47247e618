"""A query and everything that its preparation made: what the later stages, EXPLAIN and the caches hold on to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import jax
import pyarrow as pa

from qtensor.aot.compile import CompiledQuery
from qtensor.logical import Plan
from qtensor.lowering.host import HostInputs
from qtensor.lowering.model import Model
from qtensor.lowering.physical import PlannedQuery
from qtensor.lowering.storage import EncodedColumn, arrow_type
from qtensor.table import Table
from qtensor.types import Schema

Parameters: TypeAlias = Sequence[object] | Mapping[str, object] | None


@dataclass(frozen=True)
class Query:
    """What the user wrote."""

    sql: str
    parameters: Parameters = None
    dialect: str = "duckdb"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A query ready to run, with every stage of its life for those who want to look."""

    query: Query
    bound: Plan
    optimised: Plan
    planned: PlannedQuery
    compiled: CompiledQuery
    arguments: list[list[jax.Array]]  # of each share: its columns and its number of rows, then `shared`
    shared: list[jax.Array]  # what all shares are given: literals, look-up tables, weights
    host: HostInputs
    tables: dict[str, Table]
    models: tuple[Model, ...]
    threads: int
    seconds: dict[str, float] = field(default_factory=dict)

    def encoded(self, table: str, column: int) -> EncodedColumn:
        """A column of one of the query's tables, as it was when the query was prepared."""
        return self.tables[table].column(column, self.threads)

    @cached_property
    def arrow_schema(self) -> pa.Schema:
        """The result's names and Arrow types."""
        return pa.schema([pa.field(column.name, arrow_type(column.type)) for column in self.planned.output])

    @property
    def schema(self) -> Schema:
        return self.bound.schema
