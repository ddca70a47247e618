"""Transactions, which we do not have: what a file's records mean between a refused BEGIN and its end."""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass, field

from tests.oracle.slt.objects import Name

WORDS = re.compile(r"\s*(BEGIN|START\s+TRANSACTION|COMMIT|END|ROLLBACK|ABORT)\b", re.IGNORECASE)


@dataclass
class Transactions:
    """The open ones by their connections, each with the objects that it changed."""

    open: dict[str, set[Name]] = field(default_factory=dict)

    def reason(self, connection: str, objects: Set[Name]) -> str:
        """Why a record cannot be judged: another connection changed what it reads, and has not committed."""
        for other, changed in self.open.items():
            if other != connection and changed & objects:
                return "BEGIN statements"
        return ""

    def changed(self, connection: str, name: Name) -> None:
        if connection in self.open:
            self.open[connection].add(name)

    def undone(self, connection: str, sql: str) -> set[Name]:
        """Take note of a refused statement; what a ROLLBACK would have undone."""
        found = WORDS.match(sql)
        if found is None:
            return set()
        word = found[1].upper()
        if word.startswith(("BEGIN", "START")):
            self.open[connection] = set()
            return set()
        changed = self.open.pop(connection, set())
        return changed if word in ("ROLLBACK", "ABORT") else set()
