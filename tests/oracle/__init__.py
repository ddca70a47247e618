"""Whether answers are right: DuckDB as the oracle (`answers`), files of sqllogictest (`slt`), random queries (`fuzz`)."""

from tests.oracle.answers import (
    Answer,
    Engines,
    Parameters,
    Row,
    answer_of_duckdb,
    answer_of_qtensor,
    assert_same_answer,
    is_ordered,
    sort_key,
)

__all__ = [
    "Answer",
    "Engines",
    "Parameters",
    "Row",
    "answer_of_duckdb",
    "answer_of_qtensor",
    "assert_same_answer",
    "is_ordered",
    "sort_key",
]
