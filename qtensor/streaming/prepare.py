"""From a query to what runs it: over tables in memory, or block by block over tables that do not fit there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, assert_never

import pyarrow as pa

from qtensor.bind import bind
from qtensor.catalog import Scope
from qtensor.errors import UnsupportedError
from qtensor.logical import Plan, definitions_of
from qtensor.lowering.models.model import Model
from qtensor.optimise.driver import Observer, optimise
from qtensor.optimise.facts.estimates import Estimator
from qtensor.run.first_rows import reads_first_rows
from qtensor.run.kept_columns import Columns
from qtensor.run.measured import MeasuredTables
from qtensor.run.prepared import Prepared, Query
from qtensor.run.session import Clock, Session
from qtensor.run.sweep import PreparedSweep, bound_runs, prepare_sweep, run_sweep
from qtensor.sources.table import Table
from qtensor.streaming.engine import Engine
from qtensor.streaming.tables import Streamed, large_tables, streamed_tables
from qtensor.streaming.tally import Bar, Tally
from qtensor.types import Schema

SHARE_OF_STEP = 8  # of the limit: the rows that a step keeps
LEAST_BUDGET = 1 << 16  # bytes: with less, steps would be about nothing


@dataclass(eq=False)
class PreparedStream:
    """A query that reads some of its tables block by block: optimised, and planned while it runs."""

    query: Query
    bound: Plan
    optimised: Plan
    tables: dict[str, Table]
    models: tuple[Model, ...]
    streamed: Mapping[str, Streamed]
    limit: int
    threads: int
    seconds: dict[str, float] = field(default_factory=dict)
    from_cache: bool = False  # its programs are found, or made, while it runs

    @property
    def current(self) -> PreparedStream:
        """The query as it is best run."""
        return self

    @property
    def is_short(self) -> bool:
        """It is not."""
        return False

    @property
    def columns(self) -> Columns:
        """Columns that are kept for it: none."""
        return frozenset()

    @property
    def schema(self) -> Schema:
        return self.bound.schema

    def batches(self, session: Session, tally: Tally | None = None) -> Iterator[pa.Table]:
        """The rows, as they come. tally: counts what is done for them."""
        bar = Bar()
        tally = tally or Tally(show=bar)
        models = {model.name: model for model in self.models}
        budget = max(self.limit // SHARE_OF_STEP, LEAST_BUDGET)
        engine = Engine(session, self.query, dict(self.tables), self.streamed, models, budget, tally)
        try:
            yield from engine.batches(self.optimised)
        except UnsupportedError as error:
            raise error.shown_in(self.query.sql) from None
        finally:
            bar.close()


Runnable: TypeAlias = Prepared | PreparedStream | PreparedSweep


class HasTables(Protocol):
    """Where the tables are that a bound plan reads."""

    @property
    def tables(self) -> Mapping[str, Table]: ...


def prepare(
    session: Session, query: Query, scope: Scope, models: Mapping[str, Model], observe: Observer | None = None
) -> Runnable:
    """All stages of a query up to where it can run."""
    clock = Clock()
    if query.swept is not None:
        return prepare_in_memory(session, query, scope, models)
    bound = clock.time("bind", lambda: bind(query.sql, scope, query.parameters, query.dialect))
    return prepare_plan(session, query, bound, scope, models, observe, clock)


def prepare_plan(
    session: Session,
    query: Query,
    bound: Plan,
    scope: HasTables,
    models: Mapping[str, Model],
    observe: Observer | None = None,
    clock: Clock | None = None,
) -> Runnable:
    """The stages after binding. query: the text that errors are shown under, which may be a statement's."""
    clock = clock or Clock()
    tables = dict(scope.tables)
    by_name = {model.name: model for model in models.values()}
    limit = session.limit
    try:
        unread = large_tables(bound, tables, limit)
        with closing(MeasuredTables(tables, session.threads, unread=unread)) as measured:
            optimised = clock.time("optimise", lambda: optimise(bound, observe, measured))
            estimator = Estimator(measured, definitions_of(optimised))
            few = not unread or reads_first_rows(optimised)
            streamed = {} if few else streamed_tables(optimised, tables, limit, session.threads, estimator)
        if streamed:
            return PreparedStream(
                query, bound, optimised, tables, tuple(models.values()), streamed, limit, session.threads, clock.seconds
            )
        return session.planned(query, bound, optimised, tables, by_name, clock)
    except UnsupportedError as error:
        raise error.shown_in(query.sql) from None


def prepare_in_memory(session: Session, query: Query, scope: Scope, models: Mapping[str, Model]) -> PreparedSweep:
    """A sweep. Raises UnsupportedError: over tables that do not fit memory, of which each run would be a pass of its own."""
    bound = bound_runs(query, scope)
    if large := large_tables(bound[0], scope.tables, session.limit):
        names = ", ".join(sorted(large))
        raise UnsupportedError(f"not supported yet: a sweep over a table that is read block by block: {names}", query.sql)
    return prepare_sweep(session, query, scope, bound, models)


def batches_of(session: Session, prepared: Runnable) -> Iterator[pa.Table]:
    """The rows of a query as they come: at least one table, which may be empty."""
    match prepared:
        case PreparedStream():
            yield from prepared.batches(session)
        case PreparedSweep():
            yield run_sweep(session, prepared)
        case Prepared():
            yield session.run(prepared.current)
        case _:
            assert_never(prepared)


def rows_of(session: Session, prepared: Runnable) -> pa.Table:
    """All rows of a query."""
    return pa.concat_tables(batches_of(session, prepared))
