"""The result of a query, computed when asked for: as Arrow, pandas, polars, NumPy, JAX, Python rows, or as people read it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pyarrow as pa

from qtensor.display import render_html, render_text
from qtensor.errors import DataError
from qtensor.explain import Level, explain
from qtensor.libraries import needs
from qtensor.lowering.storage import arrow_type
from qtensor.prepared import Prepared, Query
from qtensor.types import distinct_names

if TYPE_CHECKING:
    import pandas
    import polars

    from qtensor.connection import Connection
    from qtensor.logical import Plan


EXACT_INTEGERS = 1 << 53  # a double holds every integer below


class Relation:
    """A query over its tables. Each fetching method runs it again, on the tables' data of that moment.

    answers: whether the rows are what was asked for, and not how many rows a statement changed.
    """

    answers = True

    def __init__(self, connection: Connection, query: Query, sources: Mapping[str, object], prepared: Prepared) -> None:
        self._connection = connection
        self._query = query
        self._sources = sources
        self._schema = prepared.schema

    def _prepare(self) -> Prepared:
        return self._connection._prepared(self._query, self._sources).prepared.current

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
        return self._connection._session.run(self._prepare())

    def df(self) -> pandas.DataFrame:
        """The rows as a pandas DataFrame; dates, text and decimals as pandas' Arrow conversion gives them."""
        needs("pandas", "df()")
        return self.arrow().to_pandas()

    def pl(self) -> polars.DataFrame:
        """The rows as a polars DataFrame; of columns with equal names, later ones are numbered: a, a_1."""
        needs("polars", "pl()")
        import polars

        frame = polars.from_arrow(self.arrow().rename_columns(distinct_names(self.columns)))
        assert isinstance(frame, polars.DataFrame)
        return frame

    def numpy(self) -> dict[str, np.ndarray[Any, Any]]:
        """The columns as NumPy arrays [rows]; one with NULLs is a masked array, DECIMAL and HUGEINT become float64.

        Of columns with equal names, later ones are numbered: a, a_1.
        """
        table = self.arrow()
        return {name: as_numpy(column) for name, column in zip(distinct_names(self.columns), table.columns, strict=True)}

    def jax(self) -> dict[str, jax.Array]:
        """Numeric columns as JAX arrays [rows], floats with NaN for NULL. Raises DataError for other types and for
        other NULLs.
        """
        with jax.enable_x64(True):
            return {name: jax.numpy.asarray(for_jax(name, values)) for name, values in self.numpy().items()}

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows as Python tuples: int, float, Decimal, str, date, datetime, bool, None."""
        table, integers = self.arrow(), [name == "HUGEINT" for name in self.types]
        try:
            columns = [
                [None if value is None else int(value) for value in column.to_pylist()] if is_integer else column.to_pylist()
                for column, is_integer in zip(table.columns, integers, strict=True)
            ]
        except OverflowError as error:
            raise DataError("a date is outside of the years 1 to 9999 that Python's dates know: fetch it as Arrow") from error
        return list(zip(*columns, strict=True)) if columns else [()] * table.num_rows

    def fetchone(self) -> tuple[Any, ...] | None:
        """The first row, None if there is none."""
        rows = self.fetchall()
        return rows[0] if rows else None

    def show(self, max_rows: int = 20, max_width: int | None = None) -> None:
        """Print the rows as a table."""
        print(render_text(self.arrow(), self.types, max_rows, max_width))

    def explain(self, level: Level = "physical") -> str:
        """How the query is run, by stage: its text, its plan before and after optimisation, its pipelines, HLO, or
        seconds by stage.

        level: "sql", "logical", "physical", "hlo" or "timings" (which runs the query once).
        """
        return explain(self._connection, self._prepare(), level)

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
        prepared = self._connection._prepared(self._query, self._sources, lambda rule, plan: seen.append((rule, plan))).prepared
        return [("bound", prepared.bound), *seen]

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The rows by the Arrow PyCapsule interface."""
        return self.arrow().__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        return render_text(self.arrow(), self.types)

    def _repr_html_(self) -> str:
        return render_html(self.arrow(), self.types)


def as_numpy(column: pa.ChunkedArray) -> np.ndarray[Any, Any]:
    """An Arrow column as an array [rows], masked where it has NULLs."""
    if pa.types.is_decimal(column.type):
        column = pa.chunked_array([decimals_as_floats(chunk) for chunk in column.chunks], pa.float64())
    if not column.null_count:
        values: np.ndarray[Any, Any] = column.to_numpy()
        return values
    mask = column.is_null().to_numpy()
    filler = b"" if pa.types.is_binary(column.type) else "" if pa.types.is_string(column.type) else pa.scalar(0, pa.int64())
    if pa.types.is_boolean(column.type):
        filler = False
    elif not isinstance(filler, str | bytes):
        filler = filler.cast(pa.int32() if pa.types.is_date32(column.type) else pa.int64()).cast(column.type)
    return np.ma.MaskedArray(column.fill_null(filler).to_numpy(), mask)


def decimals_as_floats(decimals: pa.Array) -> pa.Array:
    """The double nearest to each decimal. (Arrow's cast multiplies by a power of ten: off by one in the last place.)"""
    limbs = np.frombuffer(decimals.buffers()[1], np.int64).reshape(-1, 2)[decimals.offset : decimals.offset + len(decimals)]
    low, high = limbs[:, 0], limbs[:, 1]
    mask = decimals.is_null().to_numpy(zero_copy_only=False)
    if ((high == low >> 63) & (np.abs(low) < EXACT_INTEGERS) | mask).all():
        return pa.array(low / 10.0**decimals.type.scale, mask=mask)
    return pa.array([None if value is None else float(value) for value in decimals.to_pylist()], pa.float64())


def for_jax(name: str, values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if values.dtype.kind not in "biuf":
        raise DataError(f'column "{name}" is no number and cannot be a JAX array: leave it out of the query or cast it')
    if isinstance(values, np.ma.MaskedArray):
        if values.dtype.kind != "f":
            raise DataError(
                f'column "{name}" has NULLs, which a JAX array of {values.dtype} cannot hold: use coalesce or CAST AS DOUBLE'
            )
        return values.filled(np.nan)
    return values
