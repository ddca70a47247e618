"""A query and everything that its preparation made: what the later stages, EXPLAIN and the caches hold on to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from qtensor.aot.compile import CompiledQuery
from qtensor.logical import Plan
from qtensor.lowering.host import HostInputs
from qtensor.lowering.model import Model
from qtensor.lowering.physical import PlannedQuery
from qtensor.lowering.program import Share, Shared
from qtensor.lowering.storage import EncodedColumn
from qtensor.table import Table
from qtensor.types import Schema

Parameters: TypeAlias = Sequence[object] | Mapping[str, object] | None


@dataclass(frozen=True)
class Query:
    """What the user wrote."""

    sql: str
    parameters: Parameters = None
    dialect: str = "duckdb"


@dataclass(frozen=True)
class Prepared:
    """A query ready to run, with every stage of its life for those who want to look."""

    query: Query
    bound: Plan
    optimised: Plan
    planned: PlannedQuery
    compiled: CompiledQuery
    shares: list[Share]
    shared: Shared
    host: HostInputs
    tables: dict[str, Table]
    models: tuple[Model, ...]
    threads: int
    seconds: dict[str, float] = field(default_factory=dict)

    def encoded(self, table: str, column: int) -> EncodedColumn:
        """A column of one of the query's tables, as it was when the query was prepared."""
        return self.tables[table].column(column, self.threads)

    @property
    def schema(self) -> Schema:
        return self.bound.schema
