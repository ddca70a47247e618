"""Which encoded columns a connection keeps: those used last, as many as there is room for."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Collection, Iterable
from threading import RLock
from typing import TypeAlias
from weakref import ReferenceType, ref

from qtensor.errors import DataError
from qtensor.process.memory import all_memory
from qtensor.sources.table import Table

Columns: TypeAlias = frozenset[tuple[Table, int]]

_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("KMGT", 1)},
    **{f"{prefix}IB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_SIZE = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]+)\s*")


class KeptColumns:
    """The columns that queries used, least recently used first. Safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        """limit: bytes."""
        self.limit = limit
        self._lock = RLock()
        self._used: OrderedDict[tuple[int, int], ReferenceType[Table]] = OrderedDict()

    def use(self, columns: Iterable[tuple[Table, int]], tables: Iterable[Table] = ()) -> None:
        """Note that a query uses `columns` now, and that others of `tables` may have been encoded to plan it."""
        with self._lock:
            for table in tables:
                for index in table.encoded_columns:
                    self._used.setdefault((table.identity, index), ref(table))
            for table, index in columns:
                self._used[table.identity, index] = ref(table)
                self._used.move_to_end((table.identity, index))

    @property
    def size(self) -> int:
        """Bytes of all of them."""
        return sum(table.bytes_of(index) for table, index in self._alive())

    def trim(self, needed: Collection[tuple[Table, int]]) -> Columns:
        """Let go of encodings until what is left is within the limit, never of `needed` ones. Returns of which columns.

        Who still runs a query over one of them keeps it until that has ended.
        """
        with self._lock:
            size, gone = self.size, set()
            for table, index in self._alive():
                if size <= self.limit:
                    break
                if (table, index) not in needed:
                    size -= table.bytes_of(index)
                    table.forget(index)
                    del self._used[table.identity, index]
                    gone.add((table, index))
            return frozenset(gone)

    def _alive(self) -> list[tuple[Table, int]]:
        """The columns whose tables still are there."""
        found = []
        with self._lock:
            for key, reference in list(self._used.items()):
                table = reference()
                if table is None:
                    del self._used[key]
                else:
                    found.append((table, key[1]))
        return found


def memory_limit(given: int | str | None) -> int:
    """A limit in bytes: given so, or as "500MB", "2 GiB"; without one, 70 % of the machine's memory.

    Raises DataError: it is neither.

    >>> memory_limit("1.5KB"), memory_limit("2 KiB")
    (1500, 2048)
    """
    if given is None:
        return all_memory() * 7 // 10
    if isinstance(given, int) and not isinstance(given, bool) and given >= 0:
        return given
    match = _SIZE.fullmatch(given) if isinstance(given, str) else None
    if match is None or match[2].upper() not in _UNITS:
        raise DataError(f'memory_limit is a number of bytes or a text like "2GB" or "512MiB", not {given!r}')
    return int(float(match[1]) * _UNITS[match[2].upper()])
