"""Runs records of sqllogictest against a connection and says of each what became of it.

The oracle is the file, or DuckDB, which runs beside us (`second.py`). What is refused as unsupported is no failure, and neither is
an error that comes of it later. But no wrong row is excused: an object that is not what the file means it to be is dropped (or
copied from DuckDB), so that what reads it can only be an error.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import duckdb

import qtensor
from qtensor.errors import ParseError
from tests.oracle.answers import Answer
from tests.oracle.slt.errors import describe, is_crash, is_expected, reasons_of
from tests.oracle.slt.objects import Name, objects_of, targets_of
from tests.oracle.slt.records import Query, Record, Statement, Unknown, records_of
from tests.oracle.slt.second import Copied, DuckDB, attempt_all, difference, forget
from tests.oracle.slt.settings import Settings
from tests.oracle.slt.transactions import Transactions
from tests.oracle.slt.values import difference as difference_of_file
from tests.oracle.slt.values import digests, text_of

# wrong: other rows, names or types. accepted: an answer where an error is right. refused: an error where an answer or another
# kind of error is right.
Outcome: TypeAlias = Literal["passed", "wrong", "accepted", "refused", "unsupported"]
OUTCOMES: tuple[Outcome, ...] = ("passed", "wrong", "accepted", "refused", "unsupported")
FAILURES: tuple[Outcome, ...] = ("wrong", "accepted", "refused")
# What a record did to the objects that it is about, beside what it should have done.
Effect: TypeAlias = Literal["done", "nothing", "undone"]
EXPLAIN = "the text of EXPLAIN, which is each engine's own"
REFUSED = "on what was refused"


@dataclass(frozen=True)
class Verdict:
    """What became of a record, and why: of what is unsupported, each reason by itself."""

    record: Record
    outcome: Outcome
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Spoilt:
    """An object that is not what the file means.

    missing: it is not there, and whatever reads it is an error. registered: only what changes it is. unconstrained: what should be
    an error need not be.
    """

    reasons: tuple[str, ...]
    state: Literal["missing", "registered", "unconstrained"] = "missing"

    def excuses(self, error: bool, changes: bool) -> bool:
        """Whether an error, or that there is none, says nothing of a statement that reads or changes the object."""
        if self.state == "registered":
            return changes
        return error == (self.state == "missing")


@dataclass
class FileRun:
    """One file in a connection of its own.

    folder: where its statements write, "" for where they say. data: the suite's data. second: the oracle, if not the file.
    views: what each view reads.
    """

    folder: str = ""
    data: str = ""
    second: DuckDB | None = None
    connection: qtensor.Connection = field(default_factory=lambda: qtensor.connect(threads=1))
    spoilt: dict[Name, Spoilt] = field(default_factory=dict)
    views: dict[Name, frozenset[Name]] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    transactions: Transactions = field(default_factory=Transactions)

    def verdicts(self, text: str, seconds: float | None = None) -> Iterator[Verdict]:
        """Each record and what became of it, those after `seconds` not run. Raises SyntaxProblem."""
        end = None if seconds is None else time.monotonic() + seconds
        for record in records_of(text, self.folder, self.data):
            if end is not None and time.monotonic() > end:
                yield Verdict(record, "unsupported", (f"not run within {seconds:g} s",))
                continue
            yield self.verdict(record)

    def verdict(self, record: Record) -> Verdict:
        if isinstance(record, Unknown):
            return Verdict(record, "unsupported", (record.reason,))
        sql = record.sql.strip().rstrip(";")
        if reason := self.not_for_us(record, sql):
            return Verdict(record, "unsupported", (reason,))
        found = attempt_all(self.connection, sql, texts=self.second is None)
        if self.second is None:
            verdict = self.by_file(record, sql, found)
            effect = effect_by_file(record, verdict, isinstance(found, Exception))
        else:
            verdict, effect = self.by_duckdb(record, sql, found, self.second)
        self.remember(record, sql, verdict, effect)
        return verdict

    def not_for_us(self, record: Statement | Query, sql: str) -> str:
        """Why the record is not even run, or ""."""
        if "{DATA_DIR}" in sql:
            return "no folder for {DATA_DIR}"
        missing = [path for path in re.findall(rf"'({re.escape(self.data)}/[^'*?\[]*)'", sql) if not Path(path).exists()]
        if self.data and missing and not targets_of(sql):
            return "a file of {DATA_DIR} that is not there"
        if self.second is None:
            return self.transactions.reason(record.connection, objects_of(sql))
        return ""

    def cause(self, sql: str, error: Exception | None) -> tuple[str, ...]:
        """Why an error (or that there is None) says nothing: the reasons of what was refused before. Of syntax it says all."""
        if isinstance(error, ParseError):
            return ()
        reached, waiting = set[Name](), list(objects_of(sql))
        while waiting:
            name = waiting.pop()
            if name not in reached:
                reached.add(name)
                waiting += self.views.get(name, ())
        changed = {target.object for target in targets_of(sql)}
        causes = [(self.spoilt[name], name in changed) for name in sorted(reached) if name in self.spoilt]
        return next((found.reasons for found, changes in causes if found.excuses(error is not None, changes)), ())

    def by_file(self, record: Statement | Query, sql: str, found: Answer | Exception | None) -> Verdict:
        """What the file says of an answer or an error."""
        if reasons := reasons_of(found):
            return Verdict(record, "unsupported", reasons)
        if isinstance(record, Query) and not isinstance(found, Exception):
            return self.rows_by_file(record, sql, found)
        expected = record.expected if isinstance(record, Statement) else "ok"
        if not isinstance(found, Exception):
            cause = self.cause(sql, None) or self.settings.reasons(sql)
            if expected != "error":
                return Verdict(record, "passed")
            message = f"succeeded instead of {record.message or 'an error'}"  # type: ignore[union-attr]
            return Verdict(record, "unsupported", cause) if cause else Verdict(record, "accepted", (message,))
        cause = self.cause(sql, found) or self.settings.reasons(sql, error=True)
        if cause and not is_crash(found) and expected != "maybe":
            return Verdict(record, "unsupported", cause)
        if expected == "ok" or is_crash(found):
            return Verdict(record, "refused", (describe(found),))
        assert isinstance(record, Statement)
        if is_expected(found, record.message, record.for_us):
            return Verdict(record, "passed")
        return Verdict(record, "refused", (f"{describe(found)}\ninstead of {record.message}",))

    def rows_by_file(self, query: Query, sql: str, found: Answer | None) -> Verdict:
        if query.expected and query.expected[0].startswith("<FILE>:"):
            return Verdict(query, "unsupported", ("results that lie in another file",))
        if is_explain(sql):
            return Verdict(query, "unsupported", (EXPLAIN,))
        wrong = self.wrong_rows(query, found)
        if wrong and (reasons := self.settings.reasons(sql)):
            return Verdict(query, "unsupported", reasons)
        return Verdict(query, "wrong", (wrong,)) if wrong else Verdict(query, "passed")

    def wrong_rows(self, query: Query, found: Answer | None) -> str:
        if found is None:
            return "a statement instead of a query"
        if query.types and len(query.types) != len(found.names):
            return f"{len(found.names)} columns instead of {len(query.types)}"
        wrong = difference_of_file(query, found.rows)
        if not wrong and query.label:
            digest = digests(query, found.rows)[0]
            if self.labels.setdefault(query.label, digest) != digest:
                return f"not the result of the other queries labelled {query.label}"
        return f"{wrong}\n{shown(found, query)}" if wrong else ""

    def by_duckdb(
        self, record: Statement | Query, sql: str, found: Answer | Exception | None, second: DuckDB
    ) -> tuple[Verdict, Effect]:
        """What DuckDB says."""
        if reasons := reasons_of(found):
            changed = bool(targets_of(sql)) and not isinstance(second.ask(sql), Exception)
            return Verdict(record, "unsupported", reasons), "undone" if changed else "nothing"
        expected = second.ask(sql)
        raised, raises = isinstance(found, Exception), isinstance(expected, Exception)
        effect: Effect = "undone" if raised != raises else "nothing" if raised else "done"
        return self.compared(record, sql, found, expected, second), effect

    def compared(
        self, record: Statement | Query, sql: str, found: Answer | Exception | None, expected: Answer | Exception, second: DuckDB
    ) -> Verdict:
        if isinstance(found, Exception):
            if is_crash(found):
                return Verdict(record, "refused", (describe(found),))
            if cause := self.cause(sql, found):
                return Verdict(record, "unsupported", cause)
            if isinstance(expected, Exception):
                return Verdict(record, "passed")
            return Verdict(record, "refused", (f"{describe(found)}\nDuckDB: {expected.types} {expected.rows[:3]}",))
        if not isinstance(expected, Exception):
            return self.rows_by_duckdb(record, sql, found, expected, second)
        if lacks(expected):
            return Verdict(record, "unsupported", ("what DuckDB itself cannot do here",))
        if cause := self.cause(sql, None):
            return Verdict(record, "unsupported", cause)
        answer = f": {found.types} {found.rows[:3]}" if found is not None else ""
        return Verdict(record, "accepted", (f"DuckDB: {describe(expected)}\nqtensor gives an answer{answer}",))

    def rows_by_duckdb(
        self, record: Statement | Query, sql: str, found: Answer | None, expected: Answer, second: DuckDB
    ) -> Verdict:
        if isinstance(record, Statement):
            return Verdict(record, "passed")
        if is_explain(sql):
            return Verdict(record, "unsupported", (EXPLAIN,))
        wrong = "a statement instead of a query"
        if found is not None:
            wrong = difference(found, expected, sql, ordered=record.sort == "nosort")
        if not wrong:
            return Verdict(record, "passed")
        if re.search(r"\bapprox_\w+\s*\(", sql, re.IGNORECASE) and wrong.startswith("row "):
            return Verdict(record, "unsupported", ("the value of an approximation, which is each engine's own",))
        if not second.is_stable(sql, expected):
            return Verdict(record, "unsupported", ("a query to which DuckDB itself has another answer each time",))
        return Verdict(record, "wrong", (wrong,))

    def remember(self, record: Statement | Query, sql: str, verdict: Verdict, effect: Effect) -> None:
        """Note what a refused statement leaves undone, and that an object made anew is in order again."""
        if verdict.outcome == "unsupported":
            self.settings.note(sql)
        if self.second is None and verdict.outcome == "unsupported":
            for name in self.transactions.undone(record.connection, sql):
                self.spoil(name, False, ("ROLLBACK statements",))
        if effect == "nothing":
            return
        for target in targets_of(sql):
            if effect == "undone":
                self.spoil(target.object, target.action == "indexed", verdict.reasons)
                continue
            self.transactions.changed(record.connection, target.object)
            if target.action in ("made", "removed"):
                self.spoilt.pop(target.object, None)
                view = re.search(r"\bVIEW\b", sql, re.IGNORECASE) is not None
                self.views[target.object] = objects_of(sql) - {target.object} if view else frozenset()

    def spoil(self, name: Name, indexed: bool, reasons: tuple[str, ...]) -> None:
        """From now on an object is not what the file means it to be."""
        firsts = tuple(reason.splitlines()[0] for reason in reasons)
        reasons = tuple(first if first.startswith(REFUSED) else f"{REFUSED}: {first}" for first in firsts)
        if indexed:
            self.spoilt.setdefault(name, Spoilt(reasons, "unconstrained"))
            return
        copied: Copied = "missing"
        if name[0] == "table" and "." not in name[1]:
            if self.second is not None:
                copied = self.second.copy(name[1], self.connection)
            else:
                forget(name[1], self.connection)
        match copied:
            case "kept":
                pass
            case "removed":
                self.spoilt.pop(name, None)
            case "made":
                self.spoilt[name] = Spoilt(reasons, "unconstrained")
            case "registered" | "missing":
                self.spoilt[name] = Spoilt(reasons, copied)


def effect_by_file(record: Statement | Query, verdict: Verdict, raised: bool) -> Effect:
    """What a record that the file is the oracle of did to the objects that it is about."""
    if isinstance(record, Query):
        return "undone" if raised else "done"
    if record.expected == "ok":
        return "done" if verdict.outcome == "passed" else "undone"
    if record.expected == "maybe":
        return "nothing" if raised else "done"
    return "nothing" if raised else "undone"


def is_explain(sql: str) -> bool:
    return re.match(r"EXPLAIN\b", sql, re.IGNORECASE) is not None


def lacks(error: Exception) -> bool:
    """Whether DuckDB raised for want of an extension, or its Python for a value that Python has no type for."""
    words = str(error).lower()
    return not isinstance(error, duckdb.Error) or ("extension" in words and "install" in words)


def shown(answer: Answer, query: Query) -> str:
    """Found and expected, the first rows of each."""
    rows = ["\t".join(map(text_of, row)) for row in answer.rows[:10]]
    return "\n".join(["found:", *rows, "expected:", *(query.expected or ())[:10]])
