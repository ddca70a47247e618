"""Connections: where tables and models are registered and queries asked, in the vocabulary of DuckDB's Python API."""

from __future__ import annotations

import inspect
import operator
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from types import FrameType
from weakref import WeakMethod

import pyarrow as pa
from numpy.typing import DTypeLike

from qtensor.aot.machine.cache import ExecutableCache
from qtensor.aot.machine.compile import Compiler
from qtensor.aot.machine.runtime import refuse_forked
from qtensor.bind import bind
from qtensor.bind.statements.dispatch import may_be_statement
from qtensor.bind.text.parse import in_place
from qtensor.catalog import CallerVariables, Registry, Scope
from qtensor.errors import DataError, UnsupportedError
from qtensor.explain.model_text import signature_text
from qtensor.exporting import export_native_query, export_query
from qtensor.given import given_mapping, given_path, given_text, given_texts
from qtensor.logical import Plan
from qtensor.lowering.gradients.given import FixedRows
from qtensor.lowering.gradients.weights import named_weights, with_weights
from qtensor.lowering.models.dependence import with_unread
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.tensorflow import is_tensorflow_model
from qtensor.models import Registration
from qtensor.optimise.driver import Observer, moved, refuse_unsupported
from qtensor.process.calls import Calls, HandOverError, staying_here
from qtensor.process.cores import available_cores
from qtensor.process.memory import enough_memory, keep_heap, release_heap
from qtensor.relation import Relation
from qtensor.run.kept_columns import Columns
from qtensor.run.kept_columns import memory_limit as limit_in_bytes
from qtensor.run.prepared import Parameters, Query
from qtensor.run.session import Session
from qtensor.run.sweep import bound_run
from qtensor.run.swept_values import swept
from qtensor.sources.arrow import without_rows
from qtensor.sources.table import Table
from qtensor.sources.typed import TypedSource
from qtensor.statement import View
from qtensor.statements.run import Runner
from qtensor.streaming.prepare import Runnable, batches_of, prepare, prepare_plan, rows_of
from qtensor.types import Schema

PLANS_KEPT = 256
_MUCH = 32 << 20  # bytes: to look for free pages takes longer than smaller columns are worth


@dataclass(frozen=True)
class Kept:
    """A prepared query, and what it was prepared for."""

    prepared: Runnable
    tables: tuple[tuple[str, Table], ...]
    views: tuple[tuple[str, View], ...]
    models: tuple[Model, ...]
    columns: Columns


@dataclass(frozen=True)
class TablesAtHand:
    """The tables of a plan that was made of another one."""

    tables: Mapping[str, Table]


_TABLE, _MODEL = "the name of a table", "the name of a model"


class Connection:
    """Tables, models and compiled queries. Safe to use from several threads.

    threads: how many cores a query over a large table uses (default: all that this process may use).
    timeout: the seconds that a call which asks or runs a query, or registers the file of a model, may take, a QueryTimeoutError
        ends it; None: any.
    memory_limit: bytes, or a text like "2GB", that queries may take (default: 70 % of the machine's memory). Half of it is for
        encoded columns, which are kept for the next queries as long as there is room, those used last. Tables whose columns do
        not fit there are read block by block; what must see all rows at once is then spilled to temporary files.
    """

    def __init__(self, threads: int | None = None, timeout: float | None = None, memory_limit: int | str | None = None) -> None:
        try:
            too_few = threads is not None and operator.index(threads) < 1
        except TypeError:
            raise DataError(f"threads must be a whole number, not {threads!r}") from None
        if too_few:
            raise DataError(f"threads must be at least 1, not {threads}")
        try:
            no_time = timeout is not None and not float(timeout) > 0
        except (TypeError, ValueError):
            no_time = True
        if no_time:
            raise DataError(f"timeout must be a number of seconds above 0, not {timeout!r}")
        keep_heap()
        self._gone: deque[Table] = deque()
        self._registry = Registry(_weak(self._forget_gone))
        self._session = Session(threads or available_cores(), Compiler(ExecutableCache()), limit_in_bytes(memory_limit))
        self._calls = Calls(timeout)
        self._kept: dict[tuple[str, str, str], Kept] = {}
        self._lock = threading.Lock()  # of `_kept`
        self._changes = threading.RLock()  # of statements that change tables
        self._closed = False

    def register(self, view_name: str, source: object, *, stream: bool = False) -> Connection:
        """Make `source` a table of this connection, replacing one of the same name.

        source: pandas or polars DataFrame, pyarrow Table, RecordBatchReader or Dataset, dict of NumPy arrays [rows], path of a
        Parquet, Arrow IPC or CSV file, or any object with `__arrow_c_stream__`. Files of columns are read when a query first
        needs a column.
        stream: whether queries read it block by block, and keep nothing of it, even where it would fit memory. A
            RecordBatchReader, and whatever gives its batches but once, is read here in any case.

        Raises DataError: unreadable data. A column of a type that is not supported is refused by the queries that read it.
        """
        self._registry.register(given_text(view_name, _TABLE), source, stream)
        return self

    def unregister(self, view_name: str) -> Connection:
        """Forget a table. Raises DataError if there is none of that name."""
        self._registry.unregister(given_text(view_name, _TABLE))
        return self

    def create_function(
        self,
        name: str,
        model: object,
        *,
        arguments: int | None = None,
        output: str | None = None,
        inputs: Sequence[str] | Mapping[str, int] | None = None,
        dtype: DTypeLike | None = None,
        classes: Sequence[str] | None = None,
        null: float | str | Mapping[str, float | str] | None = None,
        replace: bool = True,
        trust: bool = False,
        signature: str | None = None,
    ) -> Connection:
        """Make a model callable from SQL as `name(column, ...)` or `name(input := column, ...)`.

        The model is taken as it is now: trained further, it is the same to SQL until `refresh_function`.

        model: a keras.Model, tf.Module, tf.function or ConcreteFunction; the path of a SavedModel, of a .keras, .h5 or .tflite
            file, or of a frozen graph (.pb); a JAX function of one value for each argument, or of vectors; a fitted estimator or
            Pipeline of scikit-learn; a Booster or estimator of XGBoost or LightGBM, or a file of theirs (.json, .ubj; .txt); an
            onnx.ModelProto or .onnx file; a list or mapping of such, as versions of which a call chooses. An input of a
            TensorFlow model takes an argument for each number of a row, in the order of memory (28 x 28 pixels: 784, row after
            row); strings take VARCHAR, as StringLookup, TextVectorization, Hashing and tf.strings do, and a result that is one of
            several texts is VARCHAR. Estimators have the names of inputs that they were fitted with. Pickles (.joblib, .pkl) are
            never opened. A NaN is passed on: an imputer fills it in, trees send it where they send what is missing. A row that
            scikit-learn refuses (NaN for most estimators, infinities) is an ExecutionError.
        arguments: the number of SQL arguments, where the model does not tell.
        output: "class" for the index of the greatest score, "scores" for all of them, or the name of one of several outputs (of a
            frozen graph: of any tensor); without it a call chooses. Of classifiers of scikit-learn, XGBoost and LightGBM "class",
            the default, is the label, a number or text; "scores" (or "proba") are its probabilities; "raw" what they are made of:
            margins, the decision function.
        inputs: the names of the model's inputs in the order in which SQL gives them, for models whose inputs have no order. Of a
            JAX function a mapping says how many arguments each parameter takes; those of several are vectors.
        dtype: the type of the arguments where the model does not tell: of JAX functions (float64), of functions without an
            input_signature (float32).
        classes: the names of the classes 0, 1, ..., where the model gives a class or scores of several: the result is VARCHAR.
        null: a number, or "nan", that NULL arguments are taken for; a mapping has one for some inputs, by their names. Without it
            NULL in any argument gives NULL.
        replace: whether a model of the same name may be there, which this one replaces. Of the same graph with other weights,
            nothing is compiled anew.
        trust: whether a file may do more than compute when it is loaded: a SavedModel that reads or writes files or calls Python,
            a Keras file with code in it (Lambda) or of any size. Without it such files are refused before they are loaded.
        signature: which signature of a SavedModel is meant, if it has several and none is "serving_default".

        Raises ModelError: listing everything in the model that cannot be converted; a name that is a function of SQL, or that a
        model has and `replace` is False.
        """
        order = inputs if inputs is None or isinstance(inputs, str | Mapping) else given_texts(inputs, "inputs")
        names = None if classes is None else given_texts(classes, "classes")
        registration = Registration(name, model, arguments, output, order, dtype, trust, names, null, signature)
        self._registry.add_model(registration, self._imported(registration), replace)
        return self

    def _imported(self, registration: Registration) -> Model:
        """The model: of a file in a thread that can be abandoned.

        An object is the caller's own code, which may depend on what is set for the caller's thread. So is what is trusted.
        """
        self._refuse_closed()
        is_file = isinstance(registration.model, str | os.PathLike) and not registration.trust
        with enough_memory(f'the model "{registration.name}"'):
            return self._calls.run(registration.imported) if is_file else registration.imported()

    def refresh_function(self, name: str) -> Connection:
        """Take the weights that a registered model has now, with the options that it was registered with.

        Paths are read again. Relations made before see the new weights when they next run; exported queries keep the old ones.
        Raises ModelError: it cannot be converted any more; DataError: there is no model of that name.
        """
        registration = self._registry.registration(given_text(name, _MODEL))
        self._registry.add_model(registration, self._imported(registration))
        return self

    def remove_function(self, name: str) -> Connection:
        """Forget a model. Raises DataError if there is none of that name."""
        self._registry.remove_model(given_text(name, _MODEL))
        return self

    def functions(self) -> dict[str, str]:
        """The registered models by name: how SQL calls each, with the types that it takes and gives.

        >>> import qtensor
        >>> con = qtensor.connect().create_function("risk", lambda fee, age: fee / age)
        >>> con.functions()
        {'risk': 'risk(fee float64, age float64) gives DOUBLE'}
        """
        return {model.name: signature_text(model) for model in self._registry.models.values()}

    def sql(self, query: str, params: Parameters = None, *, dialect: str = "duckdb") -> Relation:
        """The relation that `query` describes. Now it is bound: what is wrong with it is found, and its columns are known. It is
        planned, compiled and run, and tables are read, when its rows are asked for. Other statements run now.

        Of several statements with semicolons between them, all but the last run now, in their order; one that fails ends it.
        CREATE TABLE ... AS, INSERT, UPDATE, DELETE and COPY answer how many rows they were about; what fails changes nothing.

        Tables are those registered, then the caller's variables (as DuckDB finds them), then paths of files in quotes.
        params: values of `?` and `$1` (a sequence) or of `$name` (a mapping), of the last statement. dialect: any that sqlglot
        reads.

        Raises ParseError, BindError, UnsupportedError: with a caret under the place. ExecutionError, DataError: a statement that
        ran.
        """
        return self._answer(Query(query, params, dialect), caller(), {})

    def execute(self, query: str, params: Parameters = None, *, dialect: str = "duckdb") -> Relation:
        """The same as `sql`, under the name by which statements are mostly run."""
        return self._answer(Query(query, params, dialect), caller(), {})

    def sweep(
        self,
        query: str,
        values: Mapping[str, Sequence[object]] | None = None,
        /,
        *,
        params: Parameters = None,
        dialect: str = "duckdb",
        product: bool = False,
        **named: Sequence[object],
    ) -> Relation:
        """`sql(query, params).sweep(values, ...)` for a query whose parameters are given no other value; see `Relation.sweep`."""
        of_all = swept(values, named, product)
        return self._relation_in(Query(query, params, dialect, of_all), caller())

    def _relation_in(self, query: Query, frame: FrameType | None) -> Relation:
        """A relation of a query in whose caller's frame tables are found."""
        with closing(CallerVariables(frame, {})) as variables:
            del frame
            return self._relation(query, variables)

    def _answer(self, query: Query, frame: FrameType | None, given: Mapping[str, object]) -> Relation:
        """Run the statements in `query`. The last one's answer: of a query a relation that did not run yet."""
        with closing(CallerVariables(frame, given)) as variables:
            del frame  # which an error's traceback would keep
            *before, last = in_place(query.sql, query.dialect)
            for text in before:
                self._statement(Query(text, None, query.dialect), variables).arrow()
            return self._statement(replace(query, sql=last), variables)

    def _statement(self, query: Query, variables: CallerVariables) -> Relation:
        if may_be_statement(query.sql):
            self._refuse_closed()
            with closing(Scope(self._registry, variables)) as scope:
                runner = Runner(self._changes, self._session, self._registry, scope, self._registry.models, query)
                with enough_memory():
                    answered = self._calls.run(runner.run)
            if answered is not None:
                self._trim(frozenset())
                return answered
        return self._relation(query, variables)

    def _query(self, query: Query) -> Relation:
        """A relation over registered tables and files. Refuses other statements: nothing runs before its rows are asked for."""
        return self._relation(query, CallerVariables(None, {}))

    def _fields(self, name: str) -> Schema | None:
        """The columns of a table, or of a view's query; None if there is neither."""

        def fields() -> Schema | None:
            view = self._registry.view(name)
            if view is not None:
                quoted = view.name.replace('"', '""')
                return bind(f'FROM "{quoted}"', Scope(self._registry, {})).schema
            table = self._registry.table(name)
            return None if table is None else table.fields

        return self._calls.run(fields)

    def _relation(self, query: Query, variables: CallerVariables) -> Relation:
        """A relation over the tables that `query` names: these are found now and the query bound; what its rows take is done when
        they are first asked for.
        """
        schema, tables = self._bound(query, variables)
        return Relation(self, query, {name: variables[name] for name in tables if name in variables}, schema)

    def _bound(self, query: Query, variables: Mapping[str, object]) -> tuple[Schema, tuple[str, ...]]:
        """The columns of a query and the tables that it names: of a query that is prepared already, as they were."""

        def bound() -> tuple[Schema, tuple[str, ...]]:
            with enough_memory():
                if query.swept is None:
                    plan = bind(query.sql, scope, query.parameters, query.dialect)
                else:
                    plan = bound_run(query, scope, 0)
                try:
                    refuse_unsupported(plan)
                except UnsupportedError as error:
                    raise error.shown_in(query.sql) from None
            before = () if query.swept is None else query.swept.fields
            return (*before, *plan.schema), tuple(scope.tables)

        with self._scope(variables) as scope:
            try:
                with staying_here():
                    known = self._known(query.key, scope)
            except HandOverError:
                known = None
            return self._calls.run(bound) if known is None else (known.prepared.schema, tuple(name for name, _ in known.tables))

    @contextmanager
    def _scope(self, variables: Mapping[str, object]) -> Iterator[Scope]:
        """What the names in a query mean."""
        self._refuse_closed()
        if self._gone:
            with self._lock:
                self._drop_gone()
        with closing(Scope(self._registry, variables)) as scope:
            yield scope

    def _prepared(self, query: Query, variables: Mapping[str, object], observe: Observer | None = None) -> Runnable:
        """The query ready to run: from the cache if everything it was prepared for is still the same."""
        key = query.key
        with self._scope(variables) as scope:
            if observe is not None:
                return self._calls.run(lambda: self._prepare(query, scope, key, observe)).prepared
            try:
                with staying_here():
                    known = self._known(key, scope)
            except HandOverError:  # a table is a relation, which is to be prepared anew
                known = self._calls.run(lambda: self._known(key, scope) or self._prepare(query, scope, key, None))
            return (known or self._calls.run(lambda: self._prepare(query, scope, key, None))).prepared

    def _known(self, key: tuple[str, str, str], scope: Scope) -> Kept | None:
        """What was prepared, if it still holds. Asks tables whether they are current, while their locks are held."""
        kept = self._kept.get(key)
        if kept is None or not self._holds(kept, scope):
            return None
        self._session.columns.use(kept.columns)
        return kept

    def _prepare(self, query: Query, scope: Scope, key: tuple[str, str, str], observe: Observer | None) -> Kept:
        """The query prepared and kept. Other queries are prepared at the same time."""
        with enough_memory():
            prepared = prepare(self._session, query, scope, self._registry.models, observe)
        kept = Kept(prepared, tuple(prepared.tables.items()), tuple(scope.views.items()), prepared.models, prepared.columns)
        with self._lock:
            self._refuse_closed()
            self._forget(kept)
            self._kept[key] = kept
        self._trim(kept.columns)
        return kept

    def _swept(self, query: Query, variables: Mapping[str, object]) -> Schema:
        """The columns of a relation's query as a sweep."""
        return self._bound(query, variables)[0]

    def _bound_for_gradients(self, query: Query, variables: Mapping[str, object]) -> tuple[Plan, Mapping[str, Model], FixedRows]:
        """What `value_and_grad` needs: the plan with every expression as it was bound, the models by name in lower case, and what
        computes the rows of its parts, over the tables as they are now.
        """
        with self._scope(variables) as scope, enough_memory():
            plan = moved(bind(query.sql, scope, query.parameters, query.dialect))
            tables, models = dict(scope.tables), dict(self._registry.models)

        def rows(part: Plan, others: Mapping[str, tuple[Schema, pa.Table]]) -> pa.Table:
            made = {name: Table(name, TypedSource(fields, table)) for name, (fields, table) in others.items()}
            at_hand = TablesAtHand({**tables, **made})

            def of_part() -> pa.Table:
                with enough_memory():
                    return rows_of(self._session, prepare_plan(self._session, query, part, at_hand, models))

            return self._calls.run(of_part)  # in a thread of its own: in the caller's, JAX is tracing

        return plan, models, rows

    def set_weights(self, name: str, weights: Mapping[str, object]) -> Connection:
        """Give a registered model other weights, those in the form of `value_and_grad(...).weights`; nothing is compiled anew.

        Relations made before see them when they next run. The object that was registered keeps its own: `refresh_function` takes
        those again. Raises DataError: no such model or weight, an array of another shape.
        """
        registration = self._registry.registration(given_text(name, _MODEL))
        model = self._registry.models[name.lower()]
        try:
            changed = with_weights(model, given_mapping(weights, "weights"))
        except KeyError as error:
            raise DataError(f'the model "{name}" has no weight {error}; its weights: {", ".join(named_weights(model))}') from None
        except ValueError as error:
            raise DataError(f'the model "{name}": {error}') from None
        self._registry.add_model(registration, with_unread(replace(model, weights=tuple(changed))))
        return self

    def _rows(self, query: Query, variables: Mapping[str, object]) -> pa.Table:
        """The rows of a query: in this thread if that takes no time, else in one that can be abandoned."""
        prepared = self._prepared(query, variables).current
        with enough_memory():
            if prepared.is_short:
                return rows_of(self._session, prepared)
            return self._calls.run(lambda: rows_of(self._session, prepared))

    def _batches(self, query: Query, variables: Mapping[str, object]) -> Iterator[pa.Table]:
        """The rows of a query as they come, each part of them computed when it is asked for."""
        batches = batches_of(self._session, self._prepared(query, variables))
        while True:
            self._refuse_closed()
            with enough_memory():
                rows = self._calls.run(lambda: next(batches, None))
            if rows is None:
                return
            yield rows

    def interrupt(self) -> None:
        """End the calls that other threads wait for: an InterruptError there. The connection stays as it is."""
        self._calls.interrupt()

    def _export(
        self, query: Query, variables: Mapping[str, object], path: str | os.PathLike[str], only_types: Collection[str] = ()
    ) -> None:
        self._refuse_closed()
        given_path(path, "the path of an exported query")
        scope, models = Scope(self._registry, variables), self._registry.models
        self._calls.run(lambda: export_query(query, scope, models, path, self._session.threads, only_types))

    def _export_native(self, query: Query, variables: Mapping[str, object], folder: str | os.PathLike[str], name: str) -> None:
        self._refuse_closed()
        given_path(folder, "the folder of a library")
        given_text(name, "the name of a library")
        scope, models = Scope(self._registry, variables), self._registry.models
        self._calls.run(lambda: export_native_query(query, scope, models, folder, name, self._session.threads))

    def _forget(self, new: Kept) -> None:
        """Let go of queries over tables that `new` shows to be replaced, and of the oldest ones beyond the limit."""
        current = dict(new.tables)
        for key, kept in list(self._kept.items()):
            if any(current.get(name, table) is not table for name, table in kept.tables):
                self._kept.pop(key, None)
        while len(self._kept) >= PLANS_KEPT:
            del self._kept[next(iter(self._kept))]

    def _trim(self, needed: Columns) -> None:
        """Keep no more encoded columns than the limit allows, beyond the `needed` ones, and no query over those that go."""
        with self._lock:
            gone = self._session.columns.trim(needed)
            if gone:
                for key, kept in list(self._kept.items()):
                    if any(index == other and table.is_made_of(base) for base, other in gone for table, index in kept.columns):
                        self._kept.pop(key, None)
                release_heap()

    def _forget_gone(self, table: Table) -> None:
        """Let go of queries over a table whose source is gone: now, or at the next query if another thread is at work.

        Called while an object is being destroyed, on any thread, so it waits for nothing.
        """
        self._gone.append(table)
        if self._lock.acquire(blocking=False):
            try:
                self._drop_gone()
            finally:
                self._lock.release()

    def _drop_gone(self) -> None:
        """Let go of queries over tables whose sources are gone."""
        released = 0
        while self._gone:
            table = self._gone.popleft()
            for index in table.encoded_columns:
                released += table.bytes_of(index)
                table.forget(index)
            for key, kept in list(self._kept.items()):
                if any(known.is_made_of(table) for _, known in kept.tables):
                    self._kept.pop(key, None)
            del table
        if released >= _MUCH:
            release_heap()

    def _holds(self, kept: Kept, scope: Scope) -> bool:
        tables = all(scope.find(name) is table for name, table in kept.tables)
        views = all(self._registry.view(name) is view for name, view in kept.views)
        return tables and views and all(self._registry.models.get(model.name.lower()) is model for model in kept.models)

    def _refuse_closed(self) -> None:
        refuse_forked()  # before any lock, which a thread may have held when the process was forked
        if self._closed:
            raise DataError("this connection is closed: open another with qtensor.connect()")

    def close(self) -> None:
        """Release threads and data; neither this connection nor its relations can run queries any more."""
        with self._changes, self._lock:
            self._closed = True
            self._kept.clear()
            self._gone.clear()
            self._registry = Registry()
            self._session.close()
        release_heap()

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def connect(
    database: str | os.PathLike[str] = ":memory:",
    *,
    threads: int | None = None,
    timeout: float | None = None,
    memory_limit: int | str | None = None,
) -> Connection:
    """A new connection, without tables. See `Connection`.

    database: ":memory:" or "", since tables that statements make live in memory; any other is a DataError.
    """
    if isinstance(database, int):
        raise DataError(f"the number of threads is given by its name: connect(threads={database})")
    given_path(database, "the database")
    if os.fspath(database) not in (":memory:", ""):
        raise DataError(f"{os.fspath(database)}: databases are kept in memory only: connect(), and register files as tables")
    return Connection(threads, timeout, memory_limit)


def caller() -> FrameType | None:
    """The frame that called the function which calls this one."""
    frame = inspect.currentframe()
    try:
        return frame.f_back.f_back if frame and frame.f_back else None
    finally:
        del frame  # which would keep itself alive


def _weak(method: Callable[[Table], None]) -> Callable[[Table], None]:
    """`method` of a connection, which this does not keep alive."""
    reference = WeakMethod(method)
    ending = sys.is_finalizing

    def called(table: Table) -> None:
        method = reference()
        if method is not None and not ending():
            method(table)

    return called


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
    tables: dict[str, object] = {}
    for name, value in tables_or_models.items():
        if is_model(value):
            connection.create_function(name, value)
        else:
            tables[name] = value
    return connection._answer(Query(query, params, dialect), caller(), tables)


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
        for name, model in given_mapping({} if models is None else models, "models").items():
            connection.create_function(name, model)
        only_types = set()
        for name, source in given_mapping(tables, "tables").items():
            if isinstance(source, pa.Schema):
                only_types.add(name.lower())
            connection.register(name, without_rows(source) if isinstance(source, pa.Schema) else source)
        connection._export(Query(query, params, dialect), {}, path, only_types)


def is_model(value: object) -> bool:
    """Whether a keyword of `sql` is a model: a TensorFlow object or anything that can be called. A path is a table."""
    if isinstance(value, str | os.PathLike):
        return False
    return is_tensorflow_model(value) or callable(value)
