"""Tables opened for objects that nobody registered, kept while those live and are named again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import NamedTuple

from qtensor.sources.held import Reference, WeakArrays, strongly, weakly
from qtensor.sources.open import open_table
from qtensor.sources.table import Table


class _Opened(NamedTuple):
    known: Reference | WeakArrays
    table: Table


class OpenedTables:
    """The last table opened under each name. Safe to use from several threads."""

    def __init__(self, gone: Callable[[Table], None] | None = None) -> None:
        """gone: told of a table whose source is gone, in whatever thread lets go of it: it must not wait for anything."""
        self._lock = threading.RLock()
        self._opened: dict[str, _Opened] = {}
        self._gone = gone

    def of(self, name: str, source: object) -> Table:
        """The table of `source`: the one opened before, if it is the same object, unchanged."""
        with self._lock:
            entry = self._opened.get(name)
            if entry is None or not _serves(entry, source) or not entry.table.is_current():
                table = open_table(name, source, weak=True)
                self._opened[name] = entry = _Opened(self._known(name, source, table), table)
            return entry.table

    def _known(self, name: str, source: object, table: Table) -> Reference | WeakArrays:
        gone = partial(self._forget, name, table.identity)
        if isinstance(source, dict):
            return WeakArrays(source, gone)
        return strongly(source) if isinstance(source, str | PathLike) else weakly(source, gone)

    def _forget(self, name: str, identity: int) -> None:
        """Let go of a table whose source is gone. Takes no lock, which the thread that this happens to could wait for."""
        entry = self._opened.get(name)
        if entry is not None and entry.table.identity == identity:
            self._opened.pop(name, None)
            if self._gone is not None:
                self._gone(entry.table)


def _serves(entry: _Opened, source: object) -> bool:
    """Whether a table that was opened before serves for `source`: the same object, the same arrays or the same path."""
    if isinstance(entry.known, WeakArrays):
        return entry.known.are_those_of(source)
    known = entry.known()
    paths = isinstance(known, str | PathLike) and isinstance(source, str | PathLike)
    return known is source or (paths and str(known) == str(source))
