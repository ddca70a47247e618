"""A query and everything that its preparation made: what the later stages, EXPLAIN and the caches hold on to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

import jax

from qtensor.aot.machine.compile import CompiledQuery
from qtensor.errors import ParseError, with_article
from qtensor.given import given_text
from qtensor.logical import Plan
from qtensor.lowering.host.inputs import HostInputs
from qtensor.lowering.ir.physical import PlannedQuery, TableSource
from qtensor.lowering.models.model import Model
from qtensor.lowering.storage import EncodedColumn
from qtensor.run.decoding import Decoder
from qtensor.run.swept_values import Swept
from qtensor.sources.table import Table
from qtensor.types import Schema
from qtensor.values.literals import listed

EncodedColumns: TypeAlias = Mapping[tuple[str, int], EncodedColumn]  # by table and number
SHORT_WORK = 1_000_000_000  # multiply-adds of models: tenths of a second

Parameters: TypeAlias = Sequence[object] | Mapping[str, object] | None


@dataclass(frozen=True)
class Query:
    """What the user wrote. swept: the values of those parameters for which it runs several times."""

    sql: str
    parameters: Parameters = None
    dialect: str = "duckdb"
    swept: Swept | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from other queries."""
        return self.sql, self.dialect, repr(self.parameters if self.swept is None else (self.parameters, self.swept))

    def of_run(self, number: int) -> Query:
        """One run of a sweep by itself."""
        assert self.swept is not None
        return Query(self.sql, {**named_parameters(self.parameters), **self.swept.values(number)}, self.dialect)

    def __post_init__(self) -> None:
        """Keep the parameters as they are now: the caller may change lists and arrays before the query runs.

        Raises ParseError: the query is no text; DataError: the dialect is none.
        """
        if not isinstance(self.sql, str):
            raise ParseError(f"a query is a text, not {with_article(type(self.sql).__name__)}")
        given_text(self.dialect, "the dialect")
        match self.parameters:
            case Mapping() as named:
                object.__setattr__(self, "parameters", {name: _kept(value) for name, value in named.items()})
            case Sequence() as values if not isinstance(values, str | bytes):
                object.__setattr__(self, "parameters", tuple(map(_kept, values)))
            case _:
                pass  # nothing, or what binding refuses


def named_parameters(parameters: Parameters) -> dict[str, object]:
    """Parameters by their names in lower case; those of a sequence are numbered from 1."""
    match parameters:
        case None:
            return {}
        case Mapping() as named:
            return {name.lower(): value for name, value in named.items()}
        case values:
            return {str(number): value for number, value in enumerate(values, 1)}


def _kept(value: object) -> object:
    """A parameter's value as it is now. What is equal to it has the same repr, and nothing else has."""
    items = listed(value)
    return value if items is None else tuple(items)


@dataclass(frozen=True)
class StageArguments:
    """The columns that a stage of a program reads: of the table that is cut over the cores by share, then of the others."""

    shares: list[list[jax.Array]]
    others: list[jax.Array]


@dataclass(eq=False)
class Prepared:
    """A query ready to run, with every stage of its life for those who want to look.

    `replacement` is the same query planned anew, once a run has shown that it needs more room, or more rows: at least `least` of
    a table of which the first ones are enough.
    """

    query: Query
    bound: Plan
    optimised: Plan
    planned: PlannedQuery
    compiled: CompiledQuery
    arguments: list[StageArguments]  # of each stage
    shared: list[jax.Array]  # what all modules are given: literals, look-up tables, weights
    host: HostInputs
    tables: dict[str, Table]
    models: tuple[Model, ...]
    threads: int
    encoded: EncodedColumns  # those that it reads, as they were when it was prepared
    seconds: dict[str, float] = field(default_factory=dict)
    replacement: Prepared | None = None
    least: int = 0

    @property
    def current(self) -> Prepared:
        """The query as it is best run, by all that former runs have shown."""
        return self if self.replacement is None else self.replacement.current

    @property
    def from_cache(self) -> bool:
        """Whether compiled code was there."""
        return any(module.from_cache for module in self.compiled.modules)

    @cached_property
    def is_short(self) -> bool:
        """Whether a run takes too little time for anyone to stop it."""
        plan = self.planned.plan
        rows = sum(plan.scan(number).capacity for number in plan.scans)
        return plan.is_short and rows * sum(model.work for model in self.models) <= SHORT_WORK

    @cached_property
    def decoder(self) -> Decoder:
        """Makes an Arrow table of a run's arrays."""
        planned, host, encoded = self.planned, self.host, self.encoded
        source = planned.plan.pipelines[-1].source  # the table whose rows the query's are, if it only passes columns on
        table = source.table if isinstance(source, TableSource) else ""
        return Decoder(
            planned.output,
            planned.checks,
            self.query.sql,
            lambda index: encoded[table, index],  # not a method: this would be a cycle, and keep data until one is collected
            host.strings,
            planned.plan.lists,
            called=host.called,
            joined=host.joined,
            late=lambda table, index: encoded[table, index],
        )

    @property
    def columns(self) -> frozenset[tuple[Table, int]]:
        """The tables' columns that it reads."""
        return frozenset((self.tables[table], index) for table, index in self.encoded)

    @property
    def schema(self) -> Schema:
        return self.bound.schema
