"""What the optimiser makes of a query, step by step; and that both the first plan and the last one mean what DuckDB says.

A case is a file: comments, the query, and the plans as bound and after each rule that changed something. `--update-golden`
writes the plans anew. The rows stand nowhere: DuckDB computes them each time. A case whose file has a section `physical` shows
the physical plan, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.errors import ExecutionError
from qtensor.explain.plan_text import plan_text
from qtensor.optimise.driver import REQUIRED_RULES, RULES
from tests.oracle import Engines, answer_of_duckdb, answer_of_qtensor, assert_same_answer, is_ordered
from tests.sql.tables import every_type

CASES = sorted((Path(__file__).parents[1] / "goldens").glob("*.txt"))
# SQL does not promise the errors of what nobody asks for; only the optimiser finds out that nobody does.
RAISES_WITHOUT_OPTIMISER = "prune_drops_errors_of_unused_columns"
LONG = 600_000  # rows: enough for two shares
TABLES = {
    "t": every_type(300),
    "u": every_type(60, seed=1).select(["id", "g", "i8", "d", "s"]),
    "p": every_type(7, seed=2).select(["id", "c"]),
    "long": pa.table({"id": np.arange(LONG), "k": np.arange(LONG) % 5, "v": np.arange(LONG) % 101}),
}


@dataclass(frozen=True)
class Case:
    """A golden file: `head`, its lines up to the first section, and the text of each section by its title."""

    head: str
    query: str
    sections: dict[str, str]

    @classmethod
    def read(cls, path: Path) -> Case:
        head, *parts = path.read_text().split("\n--- ")
        query = "\n".join(line for line in head.splitlines() if not line.startswith("#"))
        titled = (part.partition("\n") for part in parts)
        return cls(head.rstrip("\n"), query, {title.strip(): body.rstrip("\n") for title, _, body in titled})

    def write(self, path: Path, sections: dict[str, str]) -> None:
        path.write_text("\n".join([self.head, *(f"--- {title}\n{body}" for title, body in sections.items())]) + "\n")


def score(a: Any, b: Any) -> Any:
    """A model of two multiply-adds."""
    return jnp.stack([a, b]) @ np.array([2.0, 2.0]) - 1


def half(a: Any, b: Any) -> Any:
    """A model that does not look at its second argument."""
    return a / 2


@pytest.fixture(scope="module")
def engines() -> Iterator[Engines]:
    made = Engines.over(threads=2, **TABLES)
    made.ours.create_function("score", score)
    made.ours.create_function("half", half)
    made.theirs.execute("CREATE MACRO score(a, b) AS a::DOUBLE * 2 + b::DOUBLE * 2 - 1")
    made.theirs.execute("CREATE MACRO half(a, b) AS CASE WHEN b IS NOT NULL THEN a::DOUBLE / 2 END")
    yield made
    made.close()


@pytest.fixture(scope="module")
def unoptimised() -> Iterator[qtensor.Connection]:
    """A connection that runs plans as they are bound, but for subqueries, which must go."""
    with pytest.MonkeyPatch.context() as patch, qtensor.connect(threads=2) as connection:
        patch.setattr("qtensor.optimise.driver.RULES", ())
        for name, table in TABLES.items():
            connection.register(name, table)
        connection.create_function("score", score)
        connection.create_function("half", half)
        yield connection


@pytest.fixture(autouse=True)
def no_table_is_small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is worth it for large tables alone is done for those here, in the cases that show it."""
    callspec = getattr(request.node, "callspec", None)
    if callspec is not None and callspec.params["path"].stem.startswith("reduce_"):
        monkeypatch.setattr("qtensor.optimise.rules.reduce_by_semi_join.MANY", 1)
    if callspec is not None and callspec.params["path"].stem.startswith("infer_"):
        monkeypatch.setattr("qtensor.optimise.rules.infer_early.WORTH", 1)
        monkeypatch.setattr("qtensor.optimise.rules.infer_once.WORTH", 1)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_plans(path: Path, engines: Engines, request: pytest.FixtureRequest) -> None:
    case = Case.read(path)
    relation = engines.ours.sql(case.query)
    sections = {title: plan_text(plan) for title, plan in relation.plans()}
    if "physical" in case.sections:
        sections["physical"] = relation.explain("physical")
    if request.config.getoption("--update-golden"):
        case.write(path, sections)
    else:
        assert case.sections == sections


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_rows(path: Path, engines: Engines) -> None:
    engines.check(Case.read(path).query)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_rows_without_optimiser(path: Path, engines: Engines, unoptimised: qtensor.Connection) -> None:
    query = Case.read(path).query
    relation = unoptimised.sql(query)
    assert {title for title, _ in relation.plans()} <= {"bound", *(rule.name for rule in REQUIRED_RULES)}
    if path.stem == RAISES_WITHOUT_OPTIMISER:
        with pytest.raises(ExecutionError, match="Division by zero"):
            relation.fetchall()
        return
    expected = answer_of_duckdb(engines.theirs, query)
    assert_same_answer(answer_of_qtensor(relation), expected, ordered=is_ordered(query))


def test_every_rule_has_cases() -> None:
    shown = [title for path in CASES for title in Case.read(path).sections]
    rules = {rule.name for rule in (*REQUIRED_RULES, *RULES)}
    assert set(shown) == {"bound", "physical", *rules}
    assert all(shown.count(rule) >= 3 for rule in rules)
