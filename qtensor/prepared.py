"""A query and everything that its preparation made: what the later stages, EXPLAIN and the caches hold on to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import jax

from qtensor.aot.compile import CompiledQuery
from qtensor.decoding import Decoder
from qtensor.logical import Plan
from qtensor.lowering.host import HostInputs
from qtensor.lowering.model import Model
from qtensor.lowering.physical import PlannedQuery
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

    @cached_property
    def decoder(self) -> Decoder:
        """Makes an Arrow table of a run's arrays."""
        planned = self.planned
        return Decoder(planned.output, planned.checks, self.query.sql, self.column, self.host.strings)

    def column(self, index: int) -> EncodedColumn:
        """A column of the query's table, as it was when the query was prepared."""
        return self.tables[self.planned.plan.source.table].column(index, self.threads)

    @property
    def schema(self) -> Schema:
        return self.bound.schema
