"""Whole files of sqllogictest: each is run in folders of its own, and what became of its records counted."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.oracle.slt.records import SyntaxProblem, Unknown
from tests.oracle.slt.runner import FAILURES, FileRun, Outcome, Verdict
from tests.oracle.slt.second import DuckDB

SUFFIXES = (".test", ".slt", ".test_slow")


@dataclass
class Tally:
    """How many records of a file had each outcome; what failed, and why others were not supported."""

    path: Path
    counts: Counter[Outcome] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, verdict: Verdict) -> None:
        record = verdict.record
        records = record.records if isinstance(record, Unknown) else 1
        self.counts[verdict.outcome] += records
        if verdict.outcome == "unsupported":
            for reason in verdict.reasons:
                self.reasons[reason] += records
        elif verdict.outcome in FAILURES and not isinstance(record, Unknown):
            self.fail(verdict.outcome, f"{self.path}:{record.line}\n{record.sql}\n" + "\n".join(verdict.reasons))

    def fail(self, outcome: Outcome, text: str) -> None:
        self.failures.append(f"{outcome.upper()} {text}")


def run_file(path: Path, *, oracle: Literal["file", "duckdb"] = "file", seconds: float | None = None) -> Tally:
    """Run all records of a file, in a new connection, or as many as `seconds` allow."""
    tally = Tally(path)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder, "ours"), Path(folder, "theirs")
        for each in (ours, theirs):
            each.mkdir()
        run = FileRun(str(ours), data_of(path), DuckDB(str(ours), str(theirs)) if oracle == "duckdb" else None)
        try:
            for verdict in run.verdicts(path.read_text(encoding="utf-8", errors="replace"), seconds):
                tally.add(verdict)
        except SyntaxProblem as problem:
            tally.counts["refused"] += 1
            tally.fail("refused", f"{path}: {problem}")
        finally:
            run.connection.close()
    return tally


def data_of(path: Path) -> str:
    """The folder `data` beside the suite that a file is of, as DuckDB's has it; "" if there is none."""
    return next((str(folder / "data") for folder in path.resolve().parents if (folder / "data").is_dir()), "")


def files_of(paths: list[Path]) -> list[Path]:
    """The files named, and all files of sqllogictest below the folders named."""
    found: list[Path] = []
    for path in paths:
        found += sorted(file for file in path.rglob("*") if file.suffix in SUFFIXES) if path.is_dir() else [path]
    return found
