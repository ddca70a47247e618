"""Connections: where tables and models are registered and queries asked, in the vocabulary of DuckDB's Python API."""

from __future__ import annotations

import inspect
import operator
import os
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import FrameType

import pyarrow as pa
from numpy.typing import DTypeLike

from qtensor.aot.cache import ExecutableCache
from qtensor.aot.compile import Compiler
from qtensor.bind import bind
from qtensor.bind.parse import in_place
from qtensor.bind.statements import may_be_statement
from qtensor.catalog import CallerVariables, Registry, Scope
from qtensor.cores import available_cores
from qtensor.errors import DataError, ParseError, with_article
from qtensor.exporting import export_native_query, export_query
from qtensor.lowering.model import Model
from qtensor.lowering.tensorflow import is_tensorflow_model
from qtensor.memory import keep_heap
from qtensor.models import Registration
from qtensor.optimizer import Observer
from qtensor.prepared import Parameters, Prepared, Query
from qtensor.relation import Relation
from qtensor.session import Session
from qtensor.sources.arrow import without_rows
from qtensor.statements.run import Runner
from qtensor.statements.statement import View
from qtensor.table import Table
from qtensor.types import Schema

PLANS_KEPT = 256


@dataclass(frozen=True)
class Kept:
    """A prepared query, and what it was prepared for."""

    prepared: Prepared
    tables: tuple[tuple[str, Table], ...]
    views: tuple[tuple[str, View], ...]
    models: tuple[Model, ...]


class Connection:
    """Tables, models and compiled queries. Safe to use from several threads.

    threads: how many cores a query over a large table uses (default: all that this process may use).
    """

    def __init__(self, threads: int | None = None) -> None:
        try:
            too_few = threads is not None and operator.index(threads) < 1
        except TypeError:
            raise DataError(f"threads must be a whole number, not {threads!r}") from None
        if too_few:
            raise DataError(f"threads must be at least 1, not {threads}")
        keep_heap()
        self._registry = Registry()
        self._session = Session(threads or available_cores(), Compiler(ExecutableCache()))
        self._kept: dict[tuple[str, str, str], Kept] = {}
        self._lock = threading.RLock()
        self._closed = False

    def register(self, view_name: str, source: object) -> Connection:
        """Make `source` a table of this connection, replacing one of the same name.

        source: pandas or polars DataFrame, pyarrow Table, RecordBatchReader or Dataset, dict of NumPy arrays [rows], path of a
        Parquet, Arrow IPC or CSV file, or any object with `__arrow_c_stream__`. Files of columns are read when a query first
        needs a column.

        Raises DataError: unreadable data. A column of a type that is not supported is refused by the queries that read it.
        """
        self._registry.register(view_name, source)
        return self

    def unregister(self, view_name: str) -> Connection:
        """Forget a table. Raises DataError if there is none of that name."""
        self._registry.unregister(view_name)
        return self

    def create_function(
        self,
        name: str,
        model: object,
        *,
        arguments: int | None = None,
        output: str | None = None,
        inputs: Sequence[str] | None = None,
        dtype: DTypeLike | None = None,
        replace: bool = True,
    ) -> Connection:
        """Make a model callable from SQL as `name(column, ...)` or `name(input := column, ...)`. NULL in any gives NULL.

        The model is taken as it is now: trained further, it is the same to SQL until `refresh_function`.

        model: a keras.Model, tf.Module, tf.function, the path of a SavedModel or .keras file, or a JAX function of one value for
            each argument.
        arguments: the number of SQL arguments, where the model does not tell.
        output: "class" for the index of the greatest score, "scores" for all of them, or the name of one of several outputs.
        inputs: the names of the model's inputs in the order in which SQL gives them, for models whose inputs have no order.
        dtype: the type of the arguments where the model does not tell: of JAX functions (float64), of functions without an
            input_signature (float32).
        replace: whether a model of the same name may be there, which this one replaces. Of the same graph with other weights,
            nothing is compiled anew.

        Raises ModelError: listing everything in the model that cannot be converted; a name that is a function of SQL, or that a
        model has and `replace` is False.
        """
        order = inputs if inputs is None or isinstance(inputs, str) else tuple(inputs)
        registration = Registration(name, model, arguments, output, order, dtype)
        self._registry.add_model(registration, registration.imported(), replace)
        return self

    def refresh_function(self, name: str) -> Connection:
        """Take the weights that a registered model has now, with the options that it was registered with.

        Paths are read again. Relations made before see the new weights when they next run; exported queries keep the old ones.
        Raises ModelError: it cannot be converted any more; DataError: there is no model of that name.
        """
        registration = self._registry.registration(name)
        self._registry.add_model(registration, registration.imported())
        return self

    def remove_function(self, name: str) -> Connection:
        """Forget a model. Raises DataError if there is none of that name."""
        self._registry.remove_model(name)
        return self

    def sql(self, query: str, params: Parameters = None, *, dialect: str = "duckdb") -> Relation:
        """The relation that `query` describes; it runs when its rows are asked for. Other statements run now.

        Of several statements with semicolons between them, all but the last run now, in their order; one that fails ends it.
        CREATE TABLE ... AS, INSERT, UPDATE, DELETE and COPY answer how many rows they were about; what fails changes nothing.

        Tables are those registered, then the caller's variables (as DuckDB finds them), then paths of files in quotes.
        params: values of `?` and `$1` (a sequence) or of `$name` (a mapping), of the last statement. dialect: any that sqlglot
        reads.

        Raises ParseError, BindError, UnsupportedError: with a caret under the place. ExecutionError, DataError: a statement that
        ran.
        """
        frame = inspect.currentframe()
        return self._answer(Query(query, params, dialect), frame.f_back if frame else None, {})

    def execute(self, query: str, params: Parameters = None, *, dialect: str = "duckdb") -> Relation:
        """The same as `sql`, under the name by which statements are mostly run."""
        frame = inspect.currentframe()
        return self._answer(Query(query, params, dialect), frame.f_back if frame else None, {})

    def _answer(self, query: Query, frame: FrameType | None, given: Mapping[str, object]) -> Relation:
        """Run the statements in `query`. The last one's answer: of a query a relation that did not run yet."""
        if not isinstance(query.sql, str):
            raise ParseError(f"a query is a text, not {with_article(type(query.sql).__name__)}")
        variables = CallerVariables(frame, given)
        *before, last = in_place(query.sql, query.dialect)
        for text in before:
            self._statement(Query(text, None, query.dialect), variables).arrow()
        return self._statement(replace(query, sql=last), variables)

    def _statement(self, query: Query, variables: CallerVariables) -> Relation:
        if may_be_statement(query.sql):
            self._refuse_closed()
            scope = Scope(self._registry, variables)
            answered = Runner(self._lock, self._session, self._registry, scope, self._registry.models, query).run()
            if answered is not None:
                return answered
        return self._relation(query, variables)

    def _query(self, query: Query) -> Relation:
        """A relation over registered tables and files. Refuses other statements: nothing runs before its rows are asked for."""
        return self._relation(query, CallerVariables(None, {}))

    def _fields(self, name: str) -> Schema | None:
        """The columns of a table, or of a view's query; None if there is neither."""
        view = self._registry.view(name)
        if view is not None:
            quoted = view.name.replace('"', '""')
            return bind(f'FROM "{quoted}"', Scope(self._registry, {})).schema
        table = self._registry.table(name)
        return None if table is None else table.fields

    def _relation(self, query: Query, variables: CallerVariables) -> Relation:
        """A relation over the tables that `query` names: found, read where that is new, and planned now."""
        kept = self._prepared(query, variables)
        sources = {name: variables[name] for name, _ in kept.tables if name in variables}
        return Relation(self, query, sources, kept.prepared)

    def _prepared(self, query: Query, variables: Mapping[str, object], observe: Observer | None = None) -> Kept:
        """The query ready to run: from the cache if everything it was prepared for is still the same."""
        key = (query.sql, query.dialect, repr(query.parameters))
        scope = Scope(self._registry, variables)
        with self._lock:
            self._refuse_closed()
            kept = self._kept.get(key)
            if kept is not None and observe is None and self._holds(kept, scope):
                return kept
            prepared = self._session.prepare(query, scope, self._registry.models, observe)
            kept = Kept(prepared, tuple(prepared.tables.items()), tuple(scope.views.items()), prepared.models)
            self._forget(kept)
            self._kept[key] = kept
            return kept

    def _export(
        self, query: Query, variables: Mapping[str, object], path: str | os.PathLike[str], only_types: Collection[str] = ()
    ) -> None:
        scope = Scope(self._registry, variables)
        with self._lock:
            self._refuse_closed()
            export_query(query, scope, self._registry.models, path, self._session.threads, only_types)

    def _export_native(self, query: Query, variables: Mapping[str, object], folder: str | os.PathLike[str], name: str) -> None:
        scope = Scope(self._registry, variables)
        with self._lock:
            self._refuse_closed()
            export_native_query(query, scope, self._registry.models, folder, name, self._session.threads)

    def _forget(self, new: Kept) -> None:
        """Let go of queries over tables that `new` shows to be replaced, and of the oldest ones beyond the limit."""
        current = dict(new.tables)
        for key, kept in list(self._kept.items()):
            if any(current.get(name, table) is not table for name, table in kept.tables):
                del self._kept[key]
        while len(self._kept) >= PLANS_KEPT:
            del self._kept[next(iter(self._kept))]

    def _holds(self, kept: Kept, scope: Scope) -> bool:
        tables = all(scope.find(name) is table for name, table in kept.tables)
        views = all(self._registry.view(name) is view for name, view in kept.views)
        return tables and views and all(self._registry.models.get(model.name.lower()) is model for model in kept.models)

    def _refuse_closed(self) -> None:
        if self._closed:
            raise DataError("this connection is closed: open another with qtensor.connect()")

    def close(self) -> None:
        """Release threads and data; neither this connection nor its relations can run queries any more."""
        with self._lock:
            self._closed = True
            self._kept.clear()
            self._registry = Registry()
        self._session.pool.shutdown()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def connect(database: str | os.PathLike[str] = ":memory:", *, threads: int | None = None) -> Connection:
    """A new connection, without tables. See `Connection`.

    database: ":memory:" or "", since tables that statements make live in memory; any other is a DataError.
    """
    if isinstance(database, int):
        raise DataError(f"the number of threads is given by its name: connect(threads={database})")
    if os.fspath(database) not in (":memory:", ""):
        raise DataError(f"{os.fspath(database)}: databases are kept in memory only: connect(), and register files as tables")
    return Connection(threads)


_default_lock = threading.Lock()
_default: list[Connection] = []


def default_connection() -> Connection:
    """The connection that the functions of the module `qtensor` use."""
    with _default_lock:
        if not _default:
            _default.append(Connection())
        return _default[0]


def sql(query: str, params: Parameters = None, *, dialect: str = "duckdb", **tables_or_models: object) -> Relation:
    """`Connection.sql` on the default connection; tables and models given by keyword are known to this query's connection.

    >>> import numpy as np
    >>> sql("SELECT sum(x) AS total FROM t", t={"x": np.arange(4)}).fetchall()
    [(6,)]
    """
    connection = default_connection()
    given: dict[str, object] = {}
    for name, value in tables_or_models.items():
        if is_model(value):
            connection.create_function(name, value)
        else:
            given[name] = value
    frame = inspect.currentframe()
    return connection._answer(Query(query, params, dialect), frame.f_back if frame else None, given)


def export(
    query: str,
    path: str | os.PathLike[str],
    *,
    tables: Mapping[str, object],
    models: Mapping[str, object] | None = None,
    params: Parameters = None,
    dialect: str = "duckdb",
) -> None:
    """Write a query as an artifact without running it; see `Relation.export`.

    tables: by name a pyarrow.Schema, of which nothing is assumed but the types (of text: at most 65,536 different strings), or
    a table, of whose data everything is assumed that is true of it. models: by name, what `create_function` takes.
    """
    with Connection() as connection:
        for name, model in (models or {}).items():
            connection.create_function(name, model)
        only_types = set()
        for name, source in tables.items():
            if isinstance(source, pa.Schema):
                only_types.add(name.lower())
            connection.register(name, without_rows(source) if isinstance(source, pa.Schema) else source)
        connection._export(Query(query, params, dialect), {}, path, only_types)


def is_model(value: object) -> bool:
    """Whether a keyword of `sql` is a model: a TensorFlow object or anything that can be called. A path is a table."""
    if isinstance(value, str | os.PathLike):
        return False
    return is_tensorflow_model(value) or callable(value)
