"""Runs records of sqllogictest against a connection and says of each whether it passed, failed or is not supported."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

import qtensor
from qtensor.errors import BindError, ExecutionError, InternalError, ParseError, QTensorError, UnsupportedError
from tests.oracle.answers import Answer
from tests.oracle.asking import attempt
from tests.oracle.slt.records import Query, Record, Statement, SyntaxProblem, Unknown, records_of
from tests.oracle.slt.values import difference, digests, text_of

Outcome: TypeAlias = Literal["passed", "failed", "unsupported"]
OUTCOMES: tuple[Outcome, ...] = ("passed", "failed", "unsupported")
SUFFIXES = (".test", ".slt", ".test_slow")
# The objects that a statement makes, changes or removes.
NAME = r'(?:\w+\.)*"?(\w+)"?'
TARGET = re.compile(
    r"^\s*(?:CREATE\s+(?:OR\s+REPLACE\s+)?(?:TEMP(?:ORARY)?\s+|UNIQUE\s+)?(?:TABLE|VIEW|MACRO|FUNCTION|SEQUENCE|TYPE|SCHEMA)"
    rf"|ALTER\s+TABLE|DROP\s+\w+|INSERT\s+(?:OR\s+\w+\s+)?INTO|UPDATE|DELETE\s+FROM|COPY|TRUNCATE(?:\s+TABLE)?)\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?{NAME}",
    re.IGNORECASE,
)
FRESH = re.compile(r"^\s*(?:CREATE|DROP)\b", re.IGNORECASE)
# Which of our errors may stand for a message that begins as DuckDB's do.
KINDS: dict[str, tuple[type[QTensorError], ...]] = {
    "Parser Error": (ParseError, BindError),
    "Binder Error": (BindError, ParseError, ExecutionError),
    "Catalog Error": (BindError,),
    "Conversion Error": (ExecutionError, BindError),
    "Out of Range Error": (ExecutionError, BindError),
}


@dataclass(frozen=True)
class Verdict:
    """What became of a record."""

    record: Record
    outcome: Outcome
    reason: str = ""


@dataclass
class FileRun:
    """One file in a connection of its own.

    folder: where its statements write, "" for where they say. spoilt: objects that are not what the file means them to be, since a statement about them was refused, by name with the line.
    """

    folder: str = ""
    connection: qtensor.Connection = field(default_factory=lambda: qtensor.connect(threads=1))
    spoilt: dict[str, int] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)

    def verdicts(self, text: str) -> Iterator[Verdict]:
        """Each record and what became of it. Raises SyntaxProblem."""
        for record in records_of(text, self.folder):
            verdict = self.verdict(record)
            if isinstance(record, Statement):
                self.remember(record, verdict)
            yield verdict

    def verdict(self, record: Record) -> Verdict:
        if isinstance(record, Unknown):
            return Verdict(record, "unsupported", record.reason)
        found = attempt(self.connection, record.sql.strip().rstrip(";"))
        if isinstance(found, UnsupportedError):
            return Verdict(record, "unsupported", found.message)
        wrong = self.wrong_statement(record, found) if isinstance(record, Statement) else self.wrong_rows(record, found)
        cause = next((line for name, line in self.spoilt.items() if mentions(record.sql, name)), None)
        if wrong and cause is not None:
            return Verdict(record, "unsupported", f"depends on line {cause}")
        return Verdict(record, "failed" if wrong else "passed", wrong)

    def wrong_statement(self, statement: Statement, found: Answer | Exception | None) -> str:
        if not isinstance(found, Exception):
            return "succeeded instead of an error" if statement.expected == "error" else ""
        if statement.expected == "ok" or is_crash(found):
            return describe(found)
        if statement.for_us:
            return "" if matches(statement.message, str(found)) else f"{describe(found)}\ninstead of {statement.message}"
        kinds = next((kinds for prefix, kinds in KINDS.items() if statement.message.startswith(prefix)), None)
        wrong = kinds is not None and not isinstance(found, kinds)
        return f"{describe(found)}\ninstead of {statement.message}" if wrong else ""

    def wrong_rows(self, query: Query, found: Answer | Exception | None) -> str:
        if isinstance(found, Exception):
            return describe(found)
        if found is None:
            return "a statement instead of a query"
        if query.types and len(query.types) != len(found.names):
            return f"{len(found.names)} columns instead of {len(query.types)}"
        wrong = difference(query, found.rows)
        if not wrong and query.label:
            digest = digests(query, found.rows)[0]
            if self.labels.setdefault(query.label, digest) != digest:
                return f"not the result of the other queries labelled {query.label}"
        return f"{wrong}\n{shown(found, query)}" if wrong else ""

    def remember(self, statement: Statement, verdict: Verdict) -> None:
        """Note what a refused statement leaves undone, and that a table made anew is in order again."""
        target = TARGET.match(statement.sql)
        if target is None or statement.expected == "error":
            return
        name = target[1].lower()
        if verdict.outcome != "passed":
            self.spoilt.setdefault(name, statement.line)
        elif FRESH.match(statement.sql):
            self.spoilt.pop(name, None)


def mentions(sql: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", sql, re.IGNORECASE) is not None


def is_crash(error: Exception) -> bool:
    return not isinstance(error, QTensorError) or isinstance(error, InternalError)


def describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def matches(expected: str, message: str) -> bool:
    if expected.startswith("<REGEX>:"):
        return re.search(expected.removeprefix("<REGEX>:"), message, re.DOTALL) is not None
    return expected in message


def shown(answer: Answer, query: Query) -> str:
    """Found and expected, the first rows of each."""
    rows = ["\t".join(map(text_of, row)) for row in answer.rows[:10]]
    return "\n".join(["found:", *rows, "expected:", *(query.expected or ())[:10]])


@dataclass
class Tally:
    """How many records of a file passed, failed, are unsupported; what failed, and why others were not supported."""

    path: Path
    counts: Counter[Outcome] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        record = verdict.record
        self.counts[verdict.outcome] += record.records if isinstance(record, Unknown) else 1
        if verdict.outcome == "unsupported":
            self.reasons[verdict.reason] += 1
        if verdict.outcome == "failed" and not isinstance(record, Unknown):
            self.failures.append(f"{self.path}:{record.line}\n{record.sql}\n{verdict.reason}")


def run_file(path: Path) -> Tally:
    """Run all records of a file, in a new connection."""
    tally = Tally(path)
    with tempfile.TemporaryDirectory() as folder:
        run = FileRun(folder)
        try:
            for verdict in run.verdicts(path.read_text(encoding="utf-8", errors="replace")):
                tally.add(verdict)
        except SyntaxProblem as problem:
            tally.counts["failed"] += 1
            tally.failures.append(f"{path}: {problem}")
        finally:
            run.connection.close()
    return tally


def files_of(paths: list[Path]) -> list[Path]:
    """The files named, and all files of sqllogictest below the folders named."""
    found: list[Path] = []
    for path in paths:
        found += sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES) if path.is_dir() else [path]
    return found
