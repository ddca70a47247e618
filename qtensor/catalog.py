"""What names mean: registered tables and models, files, and variables of the caller."""

from __future__ import annotations

import inspect
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FrameType

import numpy as np
import pyarrow as pa

from qtensor.bind import ModelSignature, bind
from qtensor.errors import DataError, ModelError, QTensorError
from qtensor.files.paths import is_path, is_pattern, is_there
from qtensor.lowering.models.model import TEXT, Model
from qtensor.models import Registration
from qtensor.row_numbers import table_numbered
from qtensor.sources import OpenedTables, open_table
from qtensor.sources.table import Table
from qtensor.statement import Kind, TableDefinition, View
from qtensor.statements.created import CreatedTable
from qtensor.system_tables import TABLES, Listed, rows_of
from qtensor.types import BOOLEAN, UBIGINT, Integer, Schema, SqlType
from qtensor.values.texts import is_utf8


class Registry:
    """The tables and models of a connection, by lower-case name; and the tables opened for what queries found elsewhere."""

    def __init__(self, gone: Callable[[Table], None] | None = None) -> None:
        """gone: told of a table that was found elsewhere when its source is gone; see `OpenedTables`."""
        self._lock = threading.RLock()
        self._tables: dict[str, tuple[object, bool, Table]] = {}  # the source, whether it is streamed, and the table
        self._found = OpenedTables(gone)
        self._models: dict[str, Model] = {}
        self._registrations: dict[str, Registration] = {}
        self._created: dict[str, CreatedTable] = {}
        self._views: dict[str, View] = {}
        self._system: dict[str, tuple[pa.Table, Table]] = {}

    def register(self, name: str, source: object, stream: bool = False) -> None:
        """Raises DataError also for the name of a table that CREATE TABLE made: its rows would be lost."""
        if not is_utf8(name):
            raise DataError(f"the name of a table is a text of whole characters, not {name!r}")
        table = open_table(name, source, stream=stream)
        with self._lock:
            if name.lower() in self._created:
                raise DataError(f'CREATE TABLE made a table "{name}": register under another name, or DROP TABLE {name} first')
            self._views.pop(name.lower(), None)
            self._tables[name.lower()] = (source, stream, table)

    def unregister(self, name: str) -> None:
        with self._lock:
            if self._tables.pop(name.lower(), None) is None:
                raise DataError(f'no table "{name}" is registered')

    # --- what statements make -------------------------------------------------------------------------------------------------

    def created(self, name: str) -> CreatedTable | None:
        """A table that CREATE TABLE made."""
        return self._created.get(name.lower())

    def view(self, name: str) -> View | None:
        return self._views.get(name.lower())

    def create(self, table: CreatedTable) -> None:
        """Add a table, in place of one that was created or registered under its name."""
        with self._lock:
            self._tables.pop(table.definition.name.lower(), None)
            self._created[table.definition.name.lower()] = table

    def replace(self, old: CreatedTable, new: CreatedTable) -> None:
        """Put `new` in the place of `old`. Raises DataError: it is not there any more."""
        with self._lock:
            if self._created.get(old.definition.name.lower()) is not old:
                raise DataError(
                    f'the table "{old.definition.name}" changed while a statement was about to change it: run it again'
                )
            self._created[new.definition.name.lower()] = new

    def add_view(self, view: View) -> None:
        """Add a view, in place of one, or of a registered table, of its name."""
        with self._lock:
            self._tables.pop(view.name.lower(), None)
            self._views[view.name.lower()] = view

    def drop(self, names: Iterable[str]) -> None:
        """Forget tables and views."""
        with self._lock:
            for name in names:
                for known in (self._tables, self._created, self._views):
                    known.pop(name.lower(), None)

    # --- models ---------------------------------------------------------------------------------------------------------------

    def add_model(self, registration: Registration, model: Model, replace: bool = True) -> None:
        """Add a model. Raises ModelError: one of that name is there, and not to be replaced."""
        with self._lock:
            if not replace and model.name.lower() in self._models:
                known = self._models[model.name.lower()].name
                raise ModelError(f'there is a model "{known}" already: pass replace=True, or remove_function("{known}") first')
            self._models[model.name.lower()] = model
            self._registrations[model.name.lower()] = registration

    def registration(self, name: str) -> Registration:
        """What a model was made of. Raises DataError: there is none of that name."""
        with self._lock:
            if name.lower() not in self._registrations:
                raise DataError(f'no function "{name}" is registered')
            return self._registrations[name.lower()]

    def remove_model(self, name: str) -> None:
        with self._lock:
            if self._models.pop(name.lower(), None) is None:
                raise DataError(f'no function "{name}" is registered')
            del self._registrations[name.lower()]

    @property
    def models(self) -> Mapping[str, Model]:
        return self._models

    def table_names(self) -> list[str]:
        """Tables, registered and created, and views."""
        with self._lock:
            created = [table.definition.name for table in self._created.values()]
            return [*(table.name for *_, table in self._tables.values()), *created, *(view.name for view in self._views.values())]

    def table(self, name: str) -> Table | None:
        """A table that was created or registered, opened anew if its source changed."""
        with self._lock:
            created = self._created.get(name.lower())
            if created is not None:
                return created.table
            entry = self._tables.get(name.lower())
            if entry is None:
                return None
            self._tables[name.lower()] = entry = self._current(entry)
            return entry[2]

    def system_table(self, name: str, listed: Iterable[Listed]) -> Table:
        """The system table `name`; the same one as long as it has the same rows."""
        rows = rows_of(name, listed)
        with self._lock:
            kept = self._system.get(name)
            if kept is None or not kept[0].equals(rows):
                self._system[name] = kept = (rows, open_table(name, rows))
            return kept[1]

    def found(self, name: str, source: object) -> Table:
        """The table of an object that is not registered, kept while queries name the same object, unchanged."""
        return self._found.of(name, source)

    @staticmethod
    def _current(entry: tuple[object, bool, Table]) -> tuple[object, bool, Table]:
        source, stream, table = entry
        return entry if table.is_current() else (source, stream, open_table(table.name, source, stream=stream))


class Scope:
    """The names that one query sees, in DuckDB's order: registered tables, the caller's variables, files.

    Remembers what it found: `tables` are the query's tables, under the names that its plan uses.
    """

    def __init__(self, registry: Registry, variables: Mapping[str, object]) -> None:
        self._registry = registry
        self._variables = variables
        self.tables: dict[str, Table] = {}
        self.views: dict[str, View] = {}

    def close(self) -> None:
        """Forget tables and variables: what was bound has cycles, which would keep them until a collection of garbage."""
        self._variables = {}
        self.tables = {}

    def find(self, name: str) -> Table | None:
        """The table `name`; None if there is none, or a view."""
        if (own := table_numbered(name)) is not None:
            known = self.find(own)
            return None if known is None or is_path(known.name) else known.numbered
        if name.lower() in TABLES:
            return self._registry.system_table(name.lower(), self._listed())
        if self._registry.view(name) is not None:
            return None
        table = self._registry.table(name)
        if table is None and (source := self._variables.get(name)) is not None:
            table = self._registry.found(name, source)
        if table is None and is_path(name) and (is_pattern(name) or is_there(name)):
            table = self._registry.found(name, name)
        return table

    def _listed(self) -> Iterator[Listed]:
        """What the connection has, views with the columns that they have now."""
        for name in self._registry.table_names():
            view, created = self._registry.view(name), self._registry.created(name)
            if view is not None:
                yield Listed(name, self._columns_of_view(name), sql=view.sql)
            elif (table := self._registry.table(name)) is not None:
                yield Listed(name, table.fields, table.rows, None if created is None else created.definition)

    def _columns_of_view(self, name: str) -> Schema:
        """The columns of a view, none of one that means nothing any more."""
        try:
            return bind(f'SELECT * FROM "{name.replace(chr(34), chr(34) * 2)}"', Scope(self._registry, self._variables)).schema
        except QTensorError:
            return ()

    def table(self, name: str) -> Schema | None:
        table = self.tables.get(name) or self.find(name)  # the one found first, though a statement put another in its place
        if table is None:
            return None
        self.tables[name] = table
        return table.fields

    def view(self, name: str) -> View | None:
        view = self._registry.view(name)
        if view is not None:
            self.views[name] = view
        return view

    def definition(self, name: str) -> TableDefinition | None:
        created = self._registry.created(name)
        return None if created is None else created.definition

    def kind(self, name: str) -> Kind | None:
        if self._registry.view(name) is not None:
            return "view"
        if self._registry.created(name) is not None:
            return "table"
        if self._registry.table(name) is not None:
            return "registered"
        if self._variables.get(name) is not None:
            return "variable"
        return None if self.find(name) is None else "file"

    def created_names(self) -> Iterable[str]:
        return self._registry.table_names()

    def table_names(self) -> Iterable[str]:
        return [*self._registry.table_names(), *self._variables]

    def model(self, name: str) -> ModelSignature | None:
        model = self._registry.models.get(name.lower())
        return None if model is None else signature_of(model)

    def model_names(self) -> Iterable[str]:
        return [model.name for model in self._registry.models.values()]


def signature_of(model: Model) -> ModelSignature:
    """A model as SQL sees it."""
    inputs = tuple((one.name, one.width) for one in model.inputs)
    outputs = tuple((one.name, one.result) for one in model.outputs)
    texts = frozenset(position for position, dtype in enumerate(model.arguments) if dtype == TEXT)
    whole = {position: whole_numbers(dtype) for position, dtype in enumerate(model.arguments) if dtype.kind in "biu"}
    results = [one.result for one in model.outputs] or [model.result]
    return ModelSignature(
        model.name,
        len(model.arguments),
        model.result,
        inputs,
        model.ordered,
        model.nulls,
        outputs,
        texts,
        whole,
        model.work,
        model.fails is not None or UBIGINT in results,
        model.unread,
        model.unread_if_small,
    )


def whole_numbers(dtype: np.dtype[np.generic]) -> SqlType:
    """The type of the numbers that a machine type of whole numbers holds."""
    return BOOLEAN if dtype.kind == "b" else Integer(8 * dtype.itemsize, dtype.kind == "i")


_REFERENCES_OF_A_COPY = 3  # the frame's, the method's that asks, and that of the question


class CallerVariables(Mapping[str, object]):
    """What a query may name without registering it: tables given with it, the calling function's variables, its module's.

    Looked up when asked, once each; `close` lets go of all.
    """

    def __init__(self, frame: FrameType | None, given: Mapping[str, object]) -> None:
        self._given = dict(given)
        self._scopes: tuple[Mapping[str, object], ...] = ()
        self._optimized = frame is not None and bool(frame.f_code.co_flags & inspect.CO_OPTIMIZED)
        if frame is not None:
            self._scopes = (frame.f_locals, frame.f_globals)

    def close(self) -> None:
        """Let go of all variables.

        Before Python 3.13 a function's `f_locals` is a copy, which the frame keeps, and with it what the function deletes. So it
        is emptied, unless somebody else (a debugger, `locals()`) has it too.
        """
        self._given = {}
        if self._scopes and self._optimized and isinstance(local := self._scopes[0], dict):
            self._scopes = ()
            if sys.getrefcount(local) <= _REFERENCES_OF_A_COPY:
                local.clear()
        self._scopes = ()

    def __getitem__(self, name: str) -> object:
        if name in self._given:
            return self._given[name]
        for scope in self._scopes:
            if name in scope and looks_like_table(value := scope[name]):
                self._given[name] = value
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        names = {name for scope in self._scopes for name, value in list(scope.items()) if looks_like_table(value)}
        return iter(sorted({*names, *self._given}))

    def __len__(self) -> int:
        return len(list(iter(self)))


def looks_like_table(value: object) -> bool:
    """Whether a variable may be meant by a table's name: what `open_table` accepts, but for paths."""
    if isinstance(value, dict):
        return bool(value) and all(isinstance(column, np.ndarray) for column in value.values())
    if isinstance(value, type):
        return False
    library = type(value).__module__.partition(".")[0]
    if (library, type(value).__name__) in (("pandas", "DataFrame"), ("polars", "DataFrame"), ("polars", "LazyFrame")):
        return True
    return (library == "pyarrow" and type(value).__name__.endswith("Dataset")) or hasattr(value, "__arrow_c_stream__")
