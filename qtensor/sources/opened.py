"""Tables opened for objects that nobody registered, kept while the same objects are named again."""

from __future__ import annotations

import threading
from os import PathLike

from qtensor.sources.open import open_table
from qtensor.table import Table


class OpenedTables:
    """The last table opened under each name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._opened: dict[str, tuple[object, Table]] = {}

    def of(self, name: str, source: object) -> Table:
        """The table of `source`: the one opened before, if it is the same object, unchanged."""
        with self._lock:
            entry = self._opened.get(name)
            if entry is None or not same_source(entry[0], source) or not entry[1].is_current():
                self._opened[name] = entry = (source, open_table(name, source))
            return entry[1]


def same_source(known: object, source: object) -> bool:
    """Whether a table opened for `known` serves for `source`: the same object, or the same path."""
    paths = isinstance(known, str | PathLike) and isinstance(source, str | PathLike)
    return known is source or (paths and str(known) == str(source))
