"""The harness of random queries itself: seeds repeat, differences are found, failing cases become small."""

from __future__ import annotations

import pyarrow as pa
import pytest
import sqlglot
from click.testing import CliRunner

from tests.oracle import fuzz
from tests.oracle.answers import Answer
from tests.oracle.checks import KINDS, Case, Checker, Finding, compared, random_case
from tests.oracle.grammar.partitions import Partition
from tests.oracle.minimise import minimised, reproducer


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_a_seed_draws_the_same_case_again(kind: str) -> None:
    for seed in range(30):
        case, again = random_case(seed, kind), random_case(seed, kind)
        assert case.sql == again.sql
        assert [repr(table.to_pylist()) for table in case.tables.values()] == [
            repr(table.to_pylist()) for table in again.tables.values()
        ]
        sqlglot.parse_one(case.sql, dialect="duckdb")


def test_differences_are_found() -> None:
    right = Answer(["n"], ["INTEGER"], [(1,), (None,)])
    assert compared(right, right, "SELECT n").outcome == "same"
    assert compared(Answer(["n"], ["INTEGER"], [(None,), (1,)]), right, "SELECT n").outcome == "same"
    assert compared(Answer(["n"], ["INTEGER"], [(None,), (1,)]), right, "SELECT n ORDER BY n").outcome == "different"
    assert compared(Answer(["n"], ["INTEGER"], [(1,), (0,)]), right, "SELECT n").outcome == "different"
    assert compared(Answer(["n"], ["BIGINT"], [(1,), (None,)]), right, "SELECT n").outcome == "different"
    assert compared(ZeroDivisionError("crash"), right, "SELECT n").outcome == "different"


@pytest.mark.parametrize(("third", "outcome"), [("i IS NULL", "same"), ("i IS NOT NULL", "different")])
def test_a_partition_that_is_none_is_found(third: str, outcome: str) -> None:
    checker, whole = Checker(), "SELECT i FROM a"
    partition = Partition(whole, tuple(f"{whole} WHERE {part}" for part in ("i > 1", "NOT i > 1", third)))
    case = Case("partitions", {"a": pa.table({"i": [1, 2, None]})}, partition.together, partition)
    assert checker.check(case).outcome == outcome
    checker.close()


def test_the_oracle_is_asked() -> None:
    checker = Checker()
    case = Case("rows", {"a": pa.table({"i": [1, 2]})}, "SELECT list(i) FROM a")
    assert checker.check(case).outcome == "unsupported"
    assert checker.check(Case("rows", case.tables, "SELECT nothing FROM a")).outcome == "refused"
    checker.close()


def test_a_failing_case_becomes_small() -> None:
    """Wrong is, for this test, whatever multiplies and has a row where i is 7."""

    def check(case: Case) -> Finding:
        wrong = "*" in case.sql and 7 in case.tables["a"]["i"].to_pylist()
        return Finding("different" if wrong else "same", "row 0")

    tables = {"a": pa.table({"i": [1, 2, 7, None], "s": ["a", "b", "c", "d"]})}
    sql = "SELECT s, coalesce(i * 2, i) + 1 AS c FROM a JOIN a AS b USING (i) WHERE s > 'a' AND (s < 'x' OR i IS NULL) ORDER BY s"
    small, finding = minimised(Case("rows", tables, sql), Finding("different", "row 0"), check)
    assert finding.outcome == "different"
    assert small.tables["a"].to_pylist() == [{"i": 7, "s": "c"}]
    assert small.sql == "SELECT i * 2 AS c FROM a ORDER BY s"
    assert reproducer(small).startswith('a = pa.table({"i": pa.array([7], pa.int64()), "s": pa.array([\'c\'], pa.string())})')


def test_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QTENSOR_CACHE", "")  # the command sets its own, and this puts back what was there
    right = CliRunner().invoke(fuzz.main, ["--case", "3", "--kind", "rows"])
    assert right.exit_code == 0, right.output
    assert "no failures" in right.output
    monkeypatch.setattr(Checker, "check", lambda self, case: Finding("different", "wrong"))
    wrong = CliRunner().invoke(fuzz.main, ["--case", "3", "--kind", "rows", "--minimise", "0"])
    assert wrong.exit_code == 1
    assert "FAILED seed 3 (rows, rows)" in wrong.output
    assert "failed: [3]" in wrong.output
