"""What names mean: registered tables and models, files, and variables of the caller."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType

import numpy as np

from qtensor.bind import ModelSignature
from qtensor.errors import DataError
from qtensor.lowering.model import Model
from qtensor.sources import OpenedTables, open_table
from qtensor.sources.ipc import IPC_SUFFIXES
from qtensor.table import Table
from qtensor.types import Schema

FILE_SUFFIXES = (".parquet", ".csv", ".csv.gz", *IPC_SUFFIXES)


class Registry:
    """The tables and models of a connection, by lower-case name; and the tables opened for what queries found elsewhere."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._tables: dict[str, tuple[object, Table]] = {}
        self._found = OpenedTables()
        self._models: dict[str, Model] = {}

    def register(self, name: str, source: object) -> None:
        table = open_table(name, source)
        with self._lock:
            self._tables[name.lower()] = (source, table)

    def unregister(self, name: str) -> None:
        with self._lock:
            if self._tables.pop(name.lower(), None) is None:
                raise DataError(f'no table "{name}" is registered')

    def add_model(self, model: Model) -> None:
        with self._lock:
            self._models[model.name.lower()] = model

    def remove_model(self, name: str) -> None:
        with self._lock:
            if self._models.pop(name.lower(), None) is None:
                raise DataError(f'no function "{name}" is registered')

    @property
    def models(self) -> Mapping[str, Model]:
        return self._models

    def table_names(self) -> list[str]:
        return [table.name for _, table in self._tables.values()]

    def table(self, name: str) -> Table | None:
        """A registered table, opened anew if its source changed."""
        with self._lock:
            entry = self._tables.get(name.lower())
            if entry is None:
                return None
            self._tables[name.lower()] = entry = self._current(entry)
            return entry[1]

    def found(self, name: str, source: object) -> Table:
        """The table of an object that is not registered, kept while queries name the same object, unchanged."""
        return self._found.of(name, source)

    @staticmethod
    def _current(entry: tuple[object, Table]) -> tuple[object, Table]:
        source, table = entry
        return entry if table.is_current() else (source, open_table(table.name, source))


class Scope:
    """The names that one query sees, in DuckDB's order: registered tables, the caller's variables, files.

    Remembers what it found: `tables` are the query's tables, under the names that its plan uses.
    """

    def __init__(self, registry: Registry, variables: Mapping[str, object]) -> None:
        self._registry = registry
        self._variables = variables
        self.tables: dict[str, Table] = {}

    def find(self, name: str) -> Table | None:
        table = self._registry.table(name)
        if table is None and (source := self._variables.get(name)) is not None:
            table = self._registry.found(name, source)
        if table is None and name.lower().endswith(FILE_SUFFIXES) and Path(name).exists():
            table = self._registry.found(name, name)
        return table

    def table(self, name: str) -> Schema | None:
        table = self.find(name)
        if table is None:
            return None
        self.tables[name] = table
        return table.fields

    def table_names(self) -> Iterable[str]:
        return [*self._registry.table_names(), *self._variables]

    def model(self, name: str) -> ModelSignature | None:
        model = self._registry.models.get(name.lower())
        return None if model is None else ModelSignature(model.name, len(model.arguments), model.result)

    def model_names(self) -> Iterable[str]:
        return [model.name for model in self._registry.models.values()]


class CallerVariables(Mapping[str, object]):
    """What a query may name without registering it: tables given with it, the calling function's variables, its module's.

    Looked up when asked, once each, and the frame let go with this object.
    """

    def __init__(self, frame: FrameType | None, given: Mapping[str, object]) -> None:
        self._given = dict(given)
        self._scopes: tuple[Mapping[str, object], ...] = ()
        if frame is not None:
            self._scopes = (frame.f_locals, frame.f_globals)

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
