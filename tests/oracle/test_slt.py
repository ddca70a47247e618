"""The runner of sqllogictest files: our own files pass, and whatever is wrong in a file is found."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest
from click.testing import CliRunner

from tests.oracle.slt.__main__ import main
from tests.oracle.slt.records import Query, Statement, SyntaxProblem, Unknown, records_of
from tests.oracle.slt.runner import FAILURES, FileRun
from tests.oracle.slt.tally import files_of, run_file

FILES = Path(__file__).parent / "slt"


def outcomes(text: str) -> list[str]:
    run = FileRun()
    found: list[str] = [verdict.outcome for verdict in run.verdicts(text)]
    run.connection.close()
    return found


@pytest.mark.parametrize("oracle", ["file", "duckdb"])
@pytest.mark.parametrize("path", files_of([FILES]), ids=lambda path: path.stem)
def test_our_own_files(path: Path, oracle: Literal["file", "duckdb"]) -> None:
    tally = run_file(path, oracle=oracle)
    assert tally.failures == []
    assert tally.counts["passed"] > 5


@pytest.mark.parametrize(
    "record",
    [
        "query I\nSELECT 1\n----\n2",
        "query I\nSELECT 1\n----\n1\n1",
        "query I\nSELECT 1 WHERE 1 > 2\n----\nNULL",
        "query I\nSELECT 1\n----",
        "query II\nSELECT 1\n----\n1",
        "query T\nSELECT NULL\n----\n(empty)",
        "query T\nSELECT 'abc'\n----\n<REGEX>:b",
        "query T\nSELECT 'abc'\n----\n<!REGEX>:a.c",
        "query R\nSELECT 1.5e0\n----\n1.53",
        "query R\nSELECT 1.25\n----\n1.26",
        "query T\nSELECT TRUE\n----\nfalse",
        "query I\nSELECT * FROM (VALUES (1), (2)) AS t(i) ORDER BY i\n----\n2\n1",
        "query II rowsort\nSELECT * FROM (VALUES (1, 2), (3, 4)) AS t(i, j)\n----\n1\n4\n3\n2",
        "query I\nSELECT 1\n----\n1 values hashing to d41d8cd98f00b204e9800998ecf8427e",
        "query I\nSELECT 1\n----\n2 values hashing to b026324c6904b2a9cb4b88d6d61c81d1",
        "query I\nSELECT nothing\n----\n1",
        "statement ok\nSELECT nothing",
        "statement error\nSELECT 1",
        "statement error\nSELECT 1 +\n----\nCatalog Error: no such table",
        "onlyif qtensor\nstatement error\nSELECT nothing\n----\nother words",
    ],
)
def test_a_wrong_expectation_fails(record: str) -> None:
    assert outcomes(record)[0] in FAILURES


@pytest.mark.parametrize(
    "record",
    [
        "query I\nSELECT 1\n----\n1",
        "query I\nSELECT 1\n----\n1 values hashing to b026324c6904b2a9cb4b88d6d61c81d1",
        "query II rowsort\nSELECT * FROM (VALUES (3, 4), (1, 2)) AS t(i, j)\n----\n1\n2\n3\n4",
        "query II valuesort\nSELECT * FROM (VALUES (3, 2), (1, 4)) AS t(i, j)\n----\n1\n2\n3\n4",
        "query R\nSELECT 2e0 / 3\n----\n0.667",
        "query R\nSELECT 'inf'::DOUBLE\n----\ninf",
        "query T\nSELECT TRUE\n----\n1",
        "statement maybe\nSELECT nothing",
        "statement error\nSELECT nothing\n----\nBinder Error: Referenced column not found",
    ],
)
def test_a_right_expectation_passes(record: str) -> None:
    assert outcomes(record) == ["passed"]


def test_labels_name_equal_results() -> None:
    first, second = "query I nosort same\nSELECT 1\n\n", "query I nosort same\nSELECT 2"
    assert outcomes(first + first) == ["passed", "passed"]
    assert outcomes(first + second) == ["passed", "wrong"]
    empty = "----\n\n"  # only the label says what is expected
    assert outcomes(f"{first.strip()}\n{empty}{first}") == ["passed", "passed"]
    assert outcomes(f"{first.strip()}\n{empty}{second}\n{empty}") == ["passed", "wrong"]


def test_what_depends_on_a_refused_statement_is_not_supported() -> None:
    refused = "statement ok\nCREATE TABLE t(s STRUCT(i INTEGER))\n\n"
    unrelated = "query I\nSELECT 2\n----\n1"
    assert outcomes(f"{refused}query I\nSELECT i FROM t\n----\n1\n\n{unrelated}") == ["unsupported", "unsupported", "wrong"]


def test_unsupported_sql() -> None:
    assert outcomes("query T\nSELECT list(1)\n----\n[1]\n\nstatement error\nSELECT list(1)") == ["unsupported"] * 2


def test_conditions_and_loops() -> None:
    text = "loop i 0 3\n\nskipif i=1\nquery I\nSELECT ${i}\n----\n{i}\n\nendloop\n\nonlyif sqlite\nstatement ok\nno\n\nhalt\n\nrubbish"
    assert [record.sql for record in records_of(text)] == ["SELECT 0", "SELECT 2"]  # type: ignore[union-attr]
    pairs = [record.sql for record in records_of("foreach a,b 1,x 2,y\n\nstatement ok\n{b}{a}\n\nendloop")]  # type: ignore[union-attr]
    assert pairs == ["x1", "y2"]
    each = [record.sql for record in records_of("foreach t <signed> x !hugeint !tinyint\n\nstatement ok\n{t}\n\nendloop")]  # type: ignore[union-attr]
    assert each == ["smallint", "integer", "bigint", "x"]


def test_records() -> None:
    text = "# about\nstatement error\nSELECT\n  1\n----\nwhy\nnot\n\nquery IT rowsort label # us\nx\n----\n1\ta b\n\nrequire icu\n\nstatement ok\ny"
    assert list(records_of(text)) == [
        Statement(2, "SELECT\n  1", "error", "why\nnot"),
        Query(9, "x", "IT", "rowsort", "label", ("1\ta b",)),
        Unknown(14, "require icu", 1),
    ]


def test_lines_of_results() -> None:
    text = "query I\nSELECT 1\n# about\n----\n  \n# value\na\u2028b\n\nstatement ok\nSELECT 2\n  \nstatement ok\nSELECT 3"
    assert [(found.sql, getattr(found, "expected", None)) for found in records_of(text)] == [  # type: ignore[union-attr]
        ("SELECT 1", ("  ", "# value", "a\u2028b")),
        ("SELECT 2", "ok"),
        ("SELECT 3", "ok"),
    ]


def test_a_file_that_is_no_sqllogictest(tmp_path: Path) -> None:
    with pytest.raises(SyntaxProblem, match="line 3: expected statement or query, not 'SELECT 1'"):
        list(records_of("\n\nSELECT 1\n"))
    (tmp_path / "wrong.slt").write_text("loop i 0 1\n\nstatement ok\nSELECT 1")
    assert run_file(tmp_path / "wrong.slt").failures == [f"REFUSED {tmp_path / 'wrong.slt'}: line 1: no endloop"]


def test_the_command(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "right.test").write_text("query I\nSELECT 1\n----\n1\n\nquery I\nSELECT list(1)\n----\n1\n")
    (tmp_path / "notes.txt").write_text("not a test")
    right = CliRunner().invoke(main, [str(tmp_path)])
    assert right.exit_code == 0
    assert right.output.splitlines()[1].split()[1:] == ["1", "0", "0", "0", "1"]
    (tmp_path / "wrong.test").write_text("\nquery I\nSELECT 1\n----\n2\n")
    wrong = CliRunner().invoke(main, [str(tmp_path)])
    assert wrong.exit_code == 1
    assert f"WRONG {tmp_path / 'wrong.test'}:2\nSELECT 1\n1 instead of 2" in wrong.output
