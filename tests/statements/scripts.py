"""Scripts of statements, run in qtensor and in DuckDB side by side."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from qtensor.errors import BindError, DataError, ExecutionError, ParseError
from tests.oracle import Answer, Engines, Parameters, answer_of_duckdb, answer_of_qtensor, assert_same_answer


def check_script(engines: Engines, script: str) -> None:
    """Run statements, one a paragraph, in both engines: the same answers, and afterwards the same tables.

    A statement that begins with "fails:" fails in both, and changes no table in ours.
    """
    for text in statements(script):
        statement = text.removeprefix("fails:").strip()
        if statement == text:
            check_statement(engines, statement)
            continue
        before = tables(engines)
        refused(engines, statement)
        assert tables(engines) == before
    check_tables(engines)


def statements(script: str) -> Iterator[str]:
    for line in script.strip().split("\n"):
        if line.strip():
            yield line.strip()


def check_statement(engines: Engines, statement: str, parameters: Parameters = None) -> Answer:
    """The same answer from both engines, rows in their order."""
    expected = answer_of_duckdb(engines.theirs, statement, parameters)
    found = answer_of_qtensor(engines.ours.sql(statement, parameters))
    assert_same_answer(found, expected, ordered=True)
    return found


def refused(engines: Engines, statement: str, parameters: Parameters = None) -> str:
    """The message of a statement that neither engine carries out."""
    with pytest.raises(duckdb.Error):
        answer_of_duckdb(engines.theirs, statement, parameters)
    with pytest.raises((ParseError, BindError, ExecutionError, DataError)) as caught:
        engines.ours.sql(statement, parameters)
    return str(caught.value)


def check_tables(engines: Engines) -> None:
    """The same tables and views, with the same columns, and the same rows in the same order."""
    for (name,) in check_statement(engines, "SHOW TABLES").rows:
        check_statement(engines, f'DESCRIBE "{name}"')
        check_statement(engines, f'FROM "{name}"')


def tables(engines: Engines) -> dict[str, object]:
    """What our connection has, by name: objects that never change."""
    registry = engines.ours._registry
    return {name: registry.created(name) or registry.view(name) or registry.table(name) for name in registry.table_names()}
