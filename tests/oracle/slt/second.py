"""DuckDB beside us: it runs what we run, and says what a record's names, types and rows should be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, TypeAlias

import duckdb
import sqlglot.expressions as exp

import qtensor
from qtensor.errors import UnsupportedError
from tests.oracle.answers import Answer, Row, assert_same_answer
from tests.oracle.asking import ask_arrow, attempt
from tests.oracle.slt.objects import targets_of, tree_of

CONFIG: dict[str, str | bool | int | float | list[str]] = {"threads": 1, "python_enable_replacements": False}
COPY = "copied_from_duckdb"
# kept: the rows are DuckDB's, the constraints our own. made: without constraints. registered: with columns of types that we do not
# have, and not to be changed. removed: neither has it. missing: we do not have it.
Copied: TypeAlias = Literal["kept", "made", "registered", "removed", "missing"]


def connect() -> duckdb.DuckDBPyConnection:
    """DuckDB without tables, those of Python's variables left out."""
    connection = duckdb.connect(config=CONFIG)
    connection.execute("SET enable_progress_bar = false")
    return connection


@dataclass
class DuckDB:
    """A connection that has the same tables as ours.

    ours_in, theirs_in: each engine's folder for the files that it writes, as the SQL is ours and names the first.
    SET, PRAGMA, BEGIN and the like are not run where we refuse them: so both compute under the same settings.
    """

    ours_in: str
    theirs_in: str
    connection: duckdb.DuckDBPyConnection = field(default_factory=connect)

    def ask(self, sql: str) -> Answer | Exception:
        """DuckDB's answer, or what it raised."""
        if self.ours_in:
            sql = sql.replace(self.ours_in, self.theirs_in)
        try:
            cursor = self.connection.execute(sql)
            described = cursor.description or []
            rows = cursor.fetchall() if described else []
        except Exception as error:  # noqa: BLE001 - DuckDB's Python raises others too, for values that Python does not have
            return error
        return Answer([entry[0] for entry in described], [str(entry[1]) for entry in described], rows)

    def is_stable(self, sql: str, answer: Answer) -> bool:
        """Whether DuckDB says the same once more, unlike to random() or now(). Of changes nothing is run twice."""
        if targets_of(sql):
            return True
        again = self.ask(sql)
        return isinstance(again, Answer) and not difference(again, answer, sql, ordered=False)

    def copy(self, name: str, ours: qtensor.Connection) -> Copied:
        """Make our table `name` what DuckDB's is, and what came of that."""
        quoted = f'"{name}"'
        found = self.connection.execute("SELECT sql FROM duckdb_tables() WHERE lower(table_name) = ?", [name]).fetchone()
        if found is not None and re.search(r"\bCOLLATE\b", found[0], re.IGNORECASE):
            forget(name, ours)
            return "missing"
        if found is None:
            forget(name, ours)
            view = self.connection.execute("SELECT 1 FROM duckdb_views() WHERE lower(view_name) = ?", [name]).fetchone()
            return "removed" if view is None else "missing"
        columns = [(row[0], row[1]) for row in self.connection.execute(f"DESCRIBE {quoted}").fetchall()]
        ours.register(COPY, self.connection.sql(f"FROM {quoted}").to_arrow_table())
        kept = columns_of(name, ours) == columns and not isinstance(attempt(ours, f"DELETE FROM {quoted}"), Exception)
        try:
            if not kept:
                forget(name, ours)
                created = attempt(
                    ours, f"CREATE TABLE {quoted} ({', '.join(f'{quote(column)} {type}' for column, type in columns)})"
                )
                if isinstance(created, UnsupportedError):
                    ours.register(name, self.connection.sql(f"FROM {quoted}").to_arrow_table())
                    if columns_of(name, ours) == columns:
                        return "registered"
                    ours.unregister(name)  # Arrow has no such type, and something else would be compared
                    return "missing"
            attempt(ours, f"INSERT INTO {quoted} FROM {COPY}")
        finally:
            ours.unregister(COPY)
        there, expected = attempt(ours, f"SELECT * FROM {quoted}"), self.ask(f"FROM {quoted}")
        if isinstance(there, Answer) and isinstance(expected, Answer) and not difference(there, expected, "", ordered=False):
            return "kept" if kept else "made"
        forget(name, ours)
        return "missing"


def attempt_all(ours: qtensor.Connection, sql: str, *, texts: bool) -> Answer | Exception | None:
    """Our answer; if `texts`, as files of sqllogictest are to be compared with: infinite dates, for which Python gives the first and
    last ones that it has, as the texts that DuckDB has for them.
    """
    found = attempt(ours, sql)
    ends = {date.min, date.max, datetime.min, datetime.max}
    if (
        not texts
        or not isinstance(found, Answer)
        or not any(value in ends for row in found.rows for value in row if is_day(value))
    ):
        return found
    names, types, table = ask_arrow(ours, sql)
    arrow = table.rename_columns([f"c{at}" for at in range(len(names))])
    casts = [
        f"CAST(CAST(c{at} AS {type}) AS VARCHAR)" if type in ("DATE", "TIMESTAMP") else f"CAST(c{at} AS {type})"
        for at, type in enumerate(types)
    ]
    with connect() as connection:
        connection.register("answer", arrow)
        return Answer(names, types, connection.execute(f"SELECT {', '.join(casts)} FROM answer").fetchall())


def is_day(value: object) -> bool:
    return isinstance(value, date)  # a datetime is one, too


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def columns_of(name: str, ours: qtensor.Connection) -> list[tuple[str, str]]:
    found = attempt(ours, f'DESCRIBE "{name}"')
    return [(row[0], row[1]) for row in found.rows] if isinstance(found, Answer) else []


def forget(name: str, ours: qtensor.Connection) -> None:
    """No table and no view called `name` any longer: what reads it is an error, and no wrong row."""
    for kind in ("TABLE", "VIEW"):
        attempt(ours, f'DROP {kind} IF EXISTS "{name}"')


def difference(found: Answer, expected: Answer, sql: str, *, ordered: bool) -> str:
    """How our answer differs from DuckDB's, or "". Rows that tie in ORDER BY may come in any order.

    ordered: False where the file says that the order of rows is not meant.
    """
    keys = list(sort_keys(sql, expected.names)) if ordered else None
    try:
        assert_same_answer(found, expected, ordered=keys is not None and None in keys, signed_zeros=False)
        if keys and None not in keys:
            assert_same_answer(projected(found, keys), projected(expected, keys), ordered=True, signed_zeros=False)
    except AssertionError as error:
        return str(error)
    except TypeError as error:  # values that cannot be sorted, of types that we do not have
        return f"{expected.types}: {error}"
    return ""


def sort_keys(sql: str, names: Sequence[str]) -> Iterator[int | None]:
    """The positions of what the query as a whole is ordered by, None for what is not among its columns."""
    tree = tree_of(sql)
    order = tree.args.get("order") if tree is not None else None
    lower = [name.lower() for name in names]
    for ordered in order.expressions if order is not None else ():
        match ordered.this:
            case exp.Literal(is_int=True) as number if 0 < int(number.name) <= len(names):
                yield int(number.name) - 1
            case exp.Column() as column if column.name.lower() == "all" and not column.table:
                yield from range(len(names))
            case exp.Column() as column if not column.table and lower.count(column.name.lower()) == 1:
                yield lower.index(column.name.lower())
            case _:
                yield None


def projected(answer: Answer, keys: Sequence[int | None]) -> Answer:
    at = [key for key in keys if key is not None]

    def pick(row: Row) -> Row:
        return tuple(row[key] for key in at)

    return Answer([answer.names[key] for key in at], [answer.types[key] for key in at], [pick(row) for row in answer.rows])
