"""The result of a query, computed when asked for: as Arrow, pandas, polars, NumPy, JAX, Python rows, or as people read it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import jax
import numpy as np
import pyarrow as pa

from qtensor.errors import DataError
from qtensor.explain.levels import Level, explain
from qtensor.given import given_count
from qtensor.logical import Plan
from qtensor.lowering.storage import arrow_type
from qtensor.optimise.driver import Observer
from qtensor.results.display import render_html, render_text
from qtensor.results.fetching import Cursor, Row, data_frame, jax_ready, numpy_column, python_rows, rows_in_batches
from qtensor.results.libraries import needs
from qtensor.run.prepared import Query
from qtensor.run.session import Session
from qtensor.run.swept_values import swept
from qtensor.sources.typed import TypedRows
from qtensor.streaming.prepare import Runnable
from qtensor.types import Field, Schema, distinct_names

if TYPE_CHECKING:
    import pandas
    import polars


class Engine(Protocol):
    """What a relation asks of its connection: to prepare its query, to run it, to export it.

    variables: what those variables of the caller held that the query names as tables, when the relation was made.
    """

    @property
    def _session(self) -> Session: ...
    @property
    def _closed(self) -> bool: ...
    def _prepared(self, query: Query, variables: Mapping[str, object], observe: Observer | None = None) -> Runnable: ...
    def _swept(self, query: Query, variables: Mapping[str, object]) -> Schema: ...
    def _rows(self, query: Query, variables: Mapping[str, object]) -> pa.Table: ...
    def _batches(self, query: Query, variables: Mapping[str, object]) -> Iterator[pa.Table]: ...
    def _export(self, query: Query, variables: Mapping[str, object], path: str | os.PathLike[str]) -> None: ...
    def _export_native(
        self, query: Query, variables: Mapping[str, object], folder: str | os.PathLike[str], name: str
    ) -> None: ...


class Relation(TypedRows):
    """A query over its tables. Each fetching method runs it again, on the tables' data of that moment.

    But for `fetchone` and `fetchmany`, which go through the rows of one run, once, and for `fetchall` after one of these.

    answers: whether the rows are what was asked for, and not how many rows a statement changed.
    """

    answers = True
    _cursor: Cursor | None = None  # where fetchone and fetchmany are; opened by the first of them

    def __init__(self, connection: Engine, query: Query, sources: Mapping[str, object], schema: Schema) -> None:
        self._connection = connection
        self._query = query
        self._sources = sources
        self._schema = schema

    def _prepare(self) -> Runnable:
        return self._connection._prepared(self._query, self._sources).current

    @property
    def fields(self) -> Schema:
        """Names and types of the columns."""
        return self._schema

    def state(self) -> object:
        """The query as it is prepared now: another one when its tables, views or models have changed."""
        if self._connection._closed:
            raise DataError("a relation is used as a table after its connection was closed: make it anew on an open one")
        return self._connection._prepared(self._query, self._sources)

    @property
    def schema(self) -> pa.Schema:
        """Names and Arrow types of the columns."""
        return pa.schema([pa.field(field.name, arrow_type(field.type)) for field in self._schema])

    @property
    def columns(self) -> list[str]:
        """The columns' names."""
        return [field.name for field in self._schema]

    @property
    def types(self) -> list[str]:
        """The columns' SQL types."""
        return [str(field.type) for field in self._schema]

    def arrow(self) -> pa.Table:
        """The rows as an Arrow table. Raises ExecutionError: overflow, division by zero, a cast that fails."""
        return self._connection._rows(self._query, self._sources)

    def df(self) -> pandas.DataFrame:
        """The rows as a pandas DataFrame of the types that DuckDB gives.

        DECIMAL and HUGEINT become float64, DATE and TIMESTAMP datetime64[us], integers and BOOLEAN with NULLs pandas' nullable
        types. Of columns with equal names, later ones are numbered: a, a_1.

        Raises DataError: an infinite date; pandas is not installed.
        """
        needs("pandas", "df()")
        frame: pandas.DataFrame = data_frame(self.arrow(), distinct_names(self.columns), self._schema)
        return frame

    def pl(self) -> polars.DataFrame:
        """The rows as a polars DataFrame; of columns with equal names, later ones are numbered: a, a_1.

        Raises DataError: polars is not installed.
        """
        needs("polars", "pl()")
        import polars

        frame = polars.from_arrow(self.arrow().rename_columns(distinct_names(self.columns)))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """The columns as NumPy arrays [rows] of the types that DuckDB gives; one with NULLs is a masked array.

        DECIMAL and HUGEINT become float64, DATE and TIMESTAMP datetime64[us], arrays and text objects. Of columns with equal
        names, later ones are numbered: a, a_1.

        Raises DataError: an infinite date.
        """
        return {name: numpy_column(field.name, column, field.type) for name, column, field in self._columns()}

    def jax(self) -> dict[str, jax.Array]:
        """Columns of numbers as JAX arrays [rows], of arrays [rows, length]; floats with NaN for NULL.

        Raises DataError for other types and for other NULLs.
        """
        with jax.enable_x64(True):
            return {name: jax.numpy.asarray(jax_ready(field.name, column, field.type)) for name, column, field in self._columns()}

    def _columns(self) -> Iterator[tuple[str, pa.ChunkedArray, Field]]:
        """The columns of a run, each with a name of its own."""
        return zip(distinct_names(self.columns), self.arrow().columns, self._schema, strict=True)

    def fetchall(self) -> list[Row]:
        """The rows as Python tuples: int, float, Decimal, str, date, datetime, bool, tuples of floats, None.

        After `fetchone` or `fetchmany` the rows that these left. Dates that Python does not know are text, as SQL writes them.
        """
        if self._cursor is not None:
            return self._cursor.take(None)
        return python_rows(self.arrow(), self._schema)

    def fetchone(self) -> Row | None:
        """The next row; None if there is no more.

        The first call of `fetchone` or `fetchmany` runs the query, and the relation goes through those rows once.
        """
        rows = self._opened_cursor().take(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int = 1) -> list[Row]:
        """The next `size` rows, as `fetchone` goes through them; fewer if there are no more.

        Raises DataError: a size that is no number, or negative.
        """
        return self._opened_cursor().take(given_count(size, "the number of rows that fetchmany takes", 0))

    def _opened_cursor(self) -> Cursor:
        if self._cursor is not None:
            return self._cursor
        opened: Cursor = vars(self).setdefault("_cursor", Cursor(self.arrow(), self._schema))  # of two threads, one opens it
        return opened

    def __iter__(self) -> Iterator[Row]:
        """The rows of a run as Python tuples, made a batch at a time."""
        return rows_in_batches(self.arrow(), self._schema)

    def __len__(self) -> int:
        """The number of rows; runs the query."""
        return int(self.arrow().num_rows)

    @property
    def shape(self) -> tuple[int, int]:
        """The numbers of rows and columns; runs the query."""
        return len(self), len(self._schema)

    @property
    def description(self) -> list[tuple[str, str, None, None, None, None, None]]:
        """Names and SQL types of the columns, as DB-API describes a cursor."""
        return [(field.name, str(field.type), None, None, None, None, None) for field in self._schema]

    def to_arrow_table(self) -> pa.Table:
        """The same as `arrow`, as DuckDB also calls it."""
        return self.arrow()

    # More of DuckDB's names.
    to_df = fetchdf = df
    fetchnumpy = numpy
    fetch_arrow_table = to_arrow_table

    def show(self, max_rows: int = 20, max_width: int | None = None) -> None:
        """Print the rows as a table."""
        print(render_text(self.arrow(), self.types, max_rows, max_width))

    def sweep(
        self, values: Mapping[str, Sequence[object]] | None = None, /, *, product: bool = False, **named: Sequence[object]
    ) -> Relation:
        """The rows of this query for many values of its parameters: first a column for each parameter, then the query's columns.

        >>> import numpy as np
        >>> import qtensor
        >>> t = {"x": np.array([1, 2, 3, 4])}
        >>> qtensor.sql("SELECT count(*) AS n FROM t WHERE x > $low", {"low": 0}).sweep(low=[1, 2, 9]).fetchall()
        [(1, 3), (2, 2), (9, 0)]

        The runs are one compiled module; a model's scores that no parameter decides, as those that a threshold is compared with,
        are computed once for all of them. Values of which plans differ in more than the values, as those of LIMIT or
        NULL, run in modules of their own. Rows and errors are those of running the query for each value, one after the other.

        values: by parameter a list of them, also by keyword: None, numbers, texts, dates. Of several parameters the first values
            belong together, then the second ones; with `product` each goes with each, the last parameter's varying fastest. The
            values of one parameter become one type, as those of a column do: [1, 2.5] are DOUBLEs. Other parameters keep theirs.

        Raises DataError: no values, or lists of different lengths; BindError: a parameter that the query does not have, values
        without a common type; UnsupportedError: a table is read block by block. ExecutionError, when it is run: says for which
        value.
        """
        if self._query.swept is not None:
            raise DataError("this is a sweep already: give the values of all parameters at once")
        query = replace(self._query, swept=swept(values, named, product))
        return Relation(self._connection, query, self._sources, self._connection._swept(query, self._sources))

    def explain(self, level: Level = "physical") -> str:
        """How the query is run, by stage: its text, its plan before and after optimisation, its pipelines, its
        models, HLO, or seconds by stage.

        level: "sql", "logical", "rules" (the plan after each rule of the optimiser that changed it), "physical", "model" (each
        model layer by layer, what a row costs it and for how many it is called, about), "hlo" or "timings" (which runs the query
        once).
        """
        return explain(self._connection._session, self._prepare(), level)

    def hlo(self) -> str:
        """The optimised HLO of the modules that run: one for the whole query, or `partial` and `final` on several cores."""
        return self.explain("hlo")

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the query, compiled, as one file that `qtensor.load` runs on other data of the same kind.

        It needs neither TensorFlow nor a SQL engine then. What the programs assume of the data is what is true of the tables
        now: ranges of values, whether there are NULLs, how many different strings. Data that breaks it is refused, never
        misread; of a column that is only passed on, nothing is assumed but its type. Parameters may have other values.

        Raises ArtifactError: the file cannot be written.
        """
        self._connection._export(self._query, self._sources, path)

    def export_native(self, folder: str | os.PathLike[str], name: str = "score") -> None:
        """Write the query as a native library with a C interface, which needs neither Python nor TensorFlow to run.

        The folder gets lib<name>.so, <name>.h, <name>.pc, an example main.c with its Makefile, and <name>_main, a program
        that runs the query over Arrow IPC files. What is assumed of the data is as in `export`; parameters keep their values.
        Needs TensorFlow 2.21 or later and g++; the first library of a machine takes half a minute longer.

        Raises NativeError: what is missing, or what libraries cannot compute.
        """
        self._connection._export_native(self._query, self._sources, folder, name)

    def plans(self) -> list[tuple[str, Plan]]:
        """The logical plan as bound, and after each optimiser rule that changed it."""
        seen: list[tuple[str, Plan]] = []
        prepared = self._connection._prepared(self._query, self._sources, lambda rule, plan: seen.append((rule, plan)))
        return [("bound", prepared.bound), *seen]

    def stream(self) -> pa.RecordBatchReader:
        """The rows as batches. Of a query over tables that do not fit memory they come as they are computed.

        Raises, when batches are read, what `arrow` raises.
        """
        batches = (batch for rows in self._connection._batches(self._query, self._sources) for batch in rows.to_batches())
        return pa.RecordBatchReader.from_batches(self.schema, batches)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows by the Arrow PyCapsule interface, as `stream` gives them."""
        return self.stream().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return render_text(self.arrow(), self.types)

    def _repr_html_(self) -> str:
        return render_html(self.arrow(), self.types)

    def _repr_mimebundle_(self, include: Collection[str] = (), exclude: Collection[str] = ()) -> dict[str, str]:
        """Both at once, of one run: what a notebook asks for first."""
        table = self.arrow()
        return {"text/plain": render_text(table, self.types), "text/html": render_html(table, self.types)}
