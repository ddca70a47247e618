"""One random query put to its oracle: DuckDB, its own partition by a predicate, or the plan as it was bound."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import duckdb
import jax
import jax.numpy as jnp
import pyarrow as pa
import pytest

import qtensor
import qtensor.optimise.driver
from qtensor.aot.machine.options import COMPILER_OPTIONS
from qtensor.errors import BindError, CapacityError, QTensorError, UnsupportedError
from qtensor.optimise.rules import infer_early, infer_once
from qtensor.streaming import prepare as preparing
from qtensor.streaming import tables as streamed
from tests.oracle.answers import Answer, Row, answer_of_duckdb, assert_same_answer, is_ordered
from tests.oracle.asking import attempt
from tests.oracle.grammar.draw import Draw
from tests.oracle.grammar.partitions import Partition, random_partition
from tests.oracle.grammar.queries import QUERIES
from tests.oracle.grammar.tables import random_tables

# same: the oracle agrees. refused: it has no answer itself. unsupported: we say that we have none.
Outcome: TypeAlias = Literal["same", "different", "unsupported", "refused"]
QUERIES_OF_A_CONNECTION = 200
# A third of the seconds: XLA optimises less. What is asked of a query here is its plan and its lowering, which are the same.
QUICK: Mapping[str, str | bool | int] = {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


@dataclass(frozen=True)
class Case:
    """A query over tables. kind: what of the grammar; partition: of `partitions` only, where `sql` is all parts together."""

    kind: str
    tables: Mapping[str, pa.Table]
    sql: str
    partition: Partition | None = None
    plain: bool = False  # compared with the plan as bound, not with DuckDB
    streamed: bool = False  # asked of blocks of some rows each, with room for next to nothing


@dataclass(frozen=True)
class Finding:
    """What the oracle said to a case; `queries` is how many of ours were run for it."""

    outcome: Outcome
    message: str = ""
    queries: int = 1


NUMBER = r"(BOOLEAN|U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|DECIMAL.*|FLOAT|DOUBLE)"
NO_CAST = re.compile(rf"cannot combine ((DATE|TIMESTAMP) and {NUMBER}|{NUMBER} and (DATE|TIMESTAMP))$")
KINDS = (*QUERIES, "joins", "subqueries", "windows", "partitions", "partitions", "plain", "streams", "models", "models")
# Models that DuckDB computes alike, as macros: one of both arguments, one that does not look at its second, one that knows NULLs.
MODELS: Mapping[str, tuple[Callable[..., Any], Any, str]] = {
    "model_of": (lambda a, b: jnp.stack([a, b]) @ jnp.array([2.0, 0.5]), None, "(a, b) AS a::DOUBLE * 2 + b::DOUBLE * 0.5"),
    "careless": (
        lambda a, b: jnp.stack([a, a]) @ jnp.array([0.5, 0.5]),
        None,
        "(a, b) AS CASE WHEN b IS NOT NULL THEN a::DOUBLE * 0.5 + a::DOUBLE * 0.5 END",
    ),
    "filled": (lambda a: jnp.stack([a, a]) @ jnp.array([1.0, 1.0]), 3, "(a) AS coalesce(a::DOUBLE, 3) + coalesce(a::DOUBLE, 3)"),
}
ROWS_OF_BLOCK = 5
BYTES_OF_STEP = 600


def random_case(seed: int, kind: str | None = None) -> Case:
    """The case of a seed."""
    draw = Draw(seed)
    kind = kind or draw.pick(*KINDS)
    tables = random_tables(draw, draw.pick(3, 8, 12, 40))
    if kind == "partitions":
        partition = random_partition(draw)
        return Case(kind, tables, partition.together, partition)
    if kind == "models":
        draw.models = True
        return Case(kind, tables, QUERIES[draw.pick(*QUERIES)](draw), plain=draw.chance(0.3), streamed=draw.chance(0.2))
    if kind == "plain":
        return Case(kind, tables, QUERIES[draw.pick(*QUERIES)](draw), plain=True)
    if kind == "streams":
        return Case(kind, tables, QUERIES[draw.pick(*QUERIES)](draw), streamed=True)
    return Case(kind, tables, QUERIES[kind](draw))


@dataclass
class Checker:
    """Both engines; connections are made anew now and then, so that neither grows."""

    ours: qtensor.Connection = field(default_factory=lambda: qtensor.connect(threads=1))
    asked: int = 0

    def check(self, case: Case) -> Finding:
        """Ask both, and compare."""
        self.renew()
        for name, table in case.tables.items():
            self.ours.register(name, table, stream=case.streamed)
        if case.kind != "models":
            return self.compare(case)
        register_models(self.ours)
        with all_models_are_large():
            return self.compare(case)

    def compare(self, case: Case) -> Finding:
        if case.streamed:
            with small_blocks():
                found = self.ask(case.sql)
            if isinstance(found, UnsupportedError | CapacityError):
                return Finding("unsupported", found.message)
            return compared(found, ask_duckdb(case), case.sql)
        if case.partition is not None:
            return self.check_partition(case, case.partition)
        found = self.ask(case.sql)
        if isinstance(found, UnsupportedError):
            return Finding("unsupported", found.message)
        if case.plain:
            plain = without_rules(case)
            return Finding("refused", str(found)) if is_same_error(found, plain) else compared(found, plain, case.sql)
        return compared(found, ask_duckdb(case), case.sql)

    def check_partition(self, case: Case, partition: Partition) -> Finding:
        whole, parts = self.ask(partition.whole), self.ask(partition.together)
        for found in (whole, parts):
            if isinstance(found, UnsupportedError):
                return Finding("unsupported", found.message, 2)
            if isinstance(found, Exception):
                refused = isinstance(ask_duckdb(case), duckdb.Error) or has_no_cast(found)
                return Finding("refused" if refused else "different", f"{type(found).__name__}: {found}", 2)
        assert isinstance(whole, Answer) and isinstance(parts, Answer)
        rows, together = (Counter(map(comparable, answer.rows)) for answer in (whole, parts))
        if partition.distinct:
            rows, together = Counter(rows.keys()), Counter(together.keys())
        if rows != together:
            return Finding(
                "different",
                f"only in the whole: {rows - together}\nonly in the parts: {together - rows}\nwhole: {partition.whole}",
                2,
            )
        return Finding("same", queries=2)

    def ask(self, sql: str) -> Answer | Exception:
        self.asked += 1
        found = attempt(self.ours, sql)
        assert found is not None
        return found

    def renew(self) -> None:
        if self.asked >= QUERIES_OF_A_CONNECTION:
            self.ours.close()
            jax.clear_caches()  # type: ignore[no-untyped-call]
            self.ours, self.asked = qtensor.connect(threads=1), 0

    def close(self) -> None:
        self.ours.close()


def ask_duckdb(case: Case) -> Answer | Exception:
    with duckdb.connect(config={"threads": 1}) as connection:
        for name, table in case.tables.items():
            connection.register(name, table)
        for name, (_, _, macro) in MODELS.items():
            connection.execute(f"CREATE MACRO {name}{macro}")
        try:
            return answer_of_duckdb(connection, case.sql)
        except duckdb.Error as error:
            return error


def without_rules(case: Case) -> Answer | Exception:
    """The answer of the plan as it was bound: only subqueries are made joins."""
    with no_rules(), qtensor.connect(threads=1) as connection:
        for name, table in case.tables.items():
            connection.register(name, table)
        register_models(connection)
        found = attempt(connection, case.sql)
    assert found is not None
    return found


@contextmanager
def quick_compiling() -> Iterator[None]:
    """XLA compiles fast and not well. Executables on disk are to be kept apart from others."""
    usual = dict(COMPILER_OPTIONS)
    COMPILER_OPTIONS.update(QUICK)  # type: ignore[arg-type]
    try:
        yield
    finally:
        COMPILER_OPTIONS.clear()
        COMPILER_OPTIONS.update(usual)


@contextmanager
def small_blocks() -> Iterator[None]:
    """Streamed tables come in blocks of a few rows, and what steps keep of them is spilled after some more."""
    usual = streamed.LEAST_ROWS, streamed.MOST_ROWS, preparing.LEAST_BUDGET, preparing.SHARE_OF_STEP
    streamed.LEAST_ROWS, streamed.MOST_ROWS = ROWS_OF_BLOCK, ROWS_OF_BLOCK
    preparing.LEAST_BUDGET, preparing.SHARE_OF_STEP = BYTES_OF_STEP, 1 << 62
    try:
        yield
    finally:
        streamed.LEAST_ROWS, streamed.MOST_ROWS, preparing.LEAST_BUDGET, preparing.SHARE_OF_STEP = usual


def register_models(connection: qtensor.Connection) -> None:
    for name, (function, null, _) in MODELS.items():
        if name not in connection.functions():
            connection.create_function(name, function, null=null)


@contextmanager
def all_models_are_large() -> Iterator[None]:
    """Rules place calls of any model over tables of any size."""
    with pytest.MonkeyPatch.context() as patch:
        for rule in (infer_early, infer_once):
            patch.setattr(rule, "WORTH", 1)
            patch.setattr(rule, "FACTOR", 1)
        yield


@contextmanager
def no_rules() -> Iterator[None]:
    rules = qtensor.optimise.driver.RULES
    qtensor.optimise.driver.RULES = ()
    try:
        yield
    finally:
        qtensor.optimise.driver.RULES = rules


def compared(found: Answer | Exception, expected: Answer | Exception, sql: str) -> Finding:
    if isinstance(expected, UnsupportedError):
        return Finding("unsupported", expected.message)
    if isinstance(expected, duckdb.Error):
        return Finding("refused", str(expected))
    if isinstance(expected, Exception):
        return Finding("different", f"without rules: {type(expected).__name__}: {expected}")
    if isinstance(found, Exception):
        if has_no_cast(found):
            return Finding("refused", str(found))
        return Finding("different", f"{type(found).__name__}: {found}\nexpected {expected.rows[:10]}")
    try:
        assert_same_answer(found, expected, ordered=is_ordered(sql), signed_zeros=False)
    except AssertionError as error:
        return Finding("different", str(error))
    return Finding("same")


def is_same_error(found: Answer | Exception, plain: Answer | Exception) -> bool:
    """Whether both plans refuse the query with the same words."""
    return isinstance(found, QTensorError) and isinstance(plain, QTensorError) and found.message == plain.message


def has_no_cast(error: Exception) -> bool:
    """Whether a moment was compared with a number: DuckDB takes that, to fail at the first row that is there."""
    return isinstance(error, BindError) and NO_CAST.search(error.message) is not None


def comparable(row: Row) -> tuple[Any, ...]:
    """Equal for equal rows: no NaN, no two zeros, floats to nine digits."""
    return tuple(float_of(value) if isinstance(value, float) else value for value in row)


def float_of(value: float) -> Any:
    return "nan" if math.isnan(value) else float(f"{value:.9g}") + 0.0
