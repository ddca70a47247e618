"""The checker of physical plans: it says of results what JAX says, and finds what does not fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import qtensor
from qtensor.errors import InternalError
from qtensor.lowering.ir.kernel import Instruction
from qtensor.lowering.ir.physical import (
    CollectSink,
    CompactSink,
    DenseGroupSink,
    ExpandSource,
    FilterStep,
    PhysicalPlan,
    Pipeline,
    ResultSource,
    SortWord,
    TableSource,
    TopKSink,
)
from qtensor.lowering.ir.verify import SIGNATURES, problems, result_rows, result_types, verify
from qtensor.lowering.program.evaluate import OPERATIONS
from qtensor.lowering.program.program import Carried, Progress, TensorProgram
from tests.sql.tables import every_type

# What every kind of sink, source and accumulator is made by.
QUERIES = [
    "SELECT g, sum(i64), avg(i8), min(x), max(s), count(*), stddev(y), corr(y, i8), product(i8), bit_xor(i8) FROM t GROUP BY g",
    "SELECT sum(i64 * 8000), count(DISTINCT i8), sum(DISTINCT i16), first(s ORDER BY id), arg_max(d, y), mode(i8) FROM t",
    "SELECT y, median(i8), quantile_disc(s, 0.3), string_agg(s, ',' ORDER BY id), sum(y ORDER BY id), count(DISTINCT x) FROM t GROUP BY y",
    "SELECT * FROM t ORDER BY s, y DESC",
    "SELECT * FROM t ORDER BY y LIMIT 3",
    "SELECT * FROM t LIMIT 7 OFFSET 2",
    "SELECT i8 // 3, i64 % 7, sqrt(abs(y)), ln(x), s LIKE '%a%', date_trunc('month', day), moment + INTERVAL 2 MONTH, d * d FROM t",
    "SELECT a.id, b.s FROM t a JOIN u b ON a.g = b.g",
    "SELECT a.id, b.s FROM t a LEFT JOIN u b ON a.y = b.d AND a.id > b.id",
    "SELECT a.id FROM t a FULL JOIN p b ON a.id = b.id WHERE a.s IS NULL OR b.c < 'm'",
    "SELECT id FROM t WHERE g IN (SELECT g FROM u) AND s NOT IN (SELECT s FROM u WHERE s IS NOT NULL)",
    "SELECT id FROM t WHERE id IN (" + ", ".join(str(at * 10**7) for at in range(100)) + ")",
    "SELECT id, rank() OVER w, lag(s, 2) OVER w, sum(i64) OVER w, max(x) OVER w, median(i8) OVER w, mode(i8) OVER w FROM t "
    "WINDOW w AS (PARTITION BY g ORDER BY id ROWS BETWEEN 2 PRECEDING AND 1 FOLLOWING)",
    "SELECT id, first_value(s) OVER w, count(DISTINCT i8) OVER w, stddev(y) OVER w, ntile(3) OVER w FROM t WINDOW w AS (ORDER BY id)",
    "SELECT id, sum(y) OVER (ORDER BY day RANGE BETWEEN INTERVAL 30 DAY PRECEDING AND CURRENT ROW) FROM t",
    "SELECT g, s FROM t UNION SELECT g, s FROM u EXCEPT SELECT 1, 'a'",
    "SELECT g, s, count(*) FROM t GROUP BY ROLLUP (g, s)",
    "WITH c AS (SELECT g, sum(i8) AS n FROM t GROUP BY g) SELECT a.n, b.n FROM c a JOIN c b ON a.n < b.n",
    "SELECT f(y, x) FROM t WHERE f(y, x) > 0",
]


@pytest.fixture
def connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[qtensor.Connection]:
    """With a cache of its own: every program is traced."""
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path))
    with qtensor.connect(threads=2) as made:
        made.register("t", every_type(300))
        made.register("u", every_type(60, seed=1))
        made.register("p", every_type(7, seed=2).select(["id", "c"]))
        made.create_function("f", lambda a, b: a * 2.0 + b, inputs=["a", "b"])
        yield made


@pytest.mark.parametrize("query", QUERIES)
def test_results_are_as_traced(connection: qtensor.Connection, query: str, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = TensorProgram.finished
    traced = 0

    def compared(self: TensorProgram, number: int, progress: Progress, carried: Carried) -> Carried:
        nonlocal traced
        traced += 1
        after = finished(self, number, progress, carried)
        pipeline, result = self.plan.pipelines[number], after.results[number]
        assert tuple(str(column.dtype) for column in result.columns) == result_types(pipeline)
        assert result.live.size <= result_rows(pipeline)
        return after

    monkeypatch.setattr(TensorProgram, "finished", compared)
    connection.sql(query).fetchall()
    assert traced


def test_every_operation_has_a_signature() -> None:
    elsewhere = {"load", "constant", "convert", "table", "model", "fetch", "search_left", "search_right"}
    inputs = {"copy", "divide", "any_row", "among", "row", "number", "scalar", "float_scalar"}
    assert set(OPERATIONS) <= set(SIGNATURES)
    assert set(SIGNATURES) - set(OPERATIONS) == inputs
    assert not set(SIGNATURES) & elsewhere


def planned(connection: qtensor.Connection, query: str) -> PhysicalPlan:
    return connection.sql(query)._prepare().planned.plan


JOINED = (
    "SELECT a.id, b.s, a.i8 + 1 AS n FROM t a JOIN u b ON a.g = b.g WHERE a.i8 > 3 AND a.i32 // (a.i8 - 5) > 0 ORDER BY n LIMIT 5"
)


PAIRS = "SELECT a.id, b.s FROM t a JOIN u b ON a.g = b.g"


def with_pipeline(plan: PhysicalPlan, number: int, change: Callable[[Pipeline], Pipeline]) -> PhysicalPlan:
    pipelines = list(plan.pipelines)
    pipelines[number] = change(pipelines[number])
    return replace(plan, pipelines=tuple(pipelines))


def with_instruction(named: str, **changes: object) -> Callable[[Pipeline], Pipeline]:
    """The first instruction of that operation changed."""

    def change(pipeline: Pipeline) -> Pipeline:
        at = next(at for at, instruction in enumerate(pipeline.kernel) if instruction.op == named)
        kernel = list(pipeline.kernel)
        kernel[at] = replace(kernel[at], **changes)  # type: ignore[arg-type]
        return replace(pipeline, kernel=tuple(kernel))

    return change


def with_sink(**changes: object) -> Callable[[Pipeline], Pipeline]:
    return lambda pipeline: replace(pipeline, sink=replace(pipeline.sink, **changes))  # type: ignore[arg-type]


def with_source(**changes: object) -> Callable[[Pipeline], Pipeline]:
    return lambda pipeline: replace(pipeline, source=replace(pipeline.source, **changes))  # type: ignore[arg-type]


# What is broken, in a pipeline of such a kind, and what is said of it.
BROKEN: dict[str, tuple[type, Callable[[Pipeline], Pipeline], str]] = {
    "type of a column": (TableSource, with_instruction("load", dtype="float32"), "is taken for float32"),
    "slot": (TableSource, with_instruction("load", attribute=99), "which it cannot be"),
    "operand after": (TableSource, with_instruction("greater", operands=(99, 0)), r"reads \(99, 0\)"),
    "operands": (TableSource, with_instruction("greater", operands=(0,) * 3, op="select"), "which it cannot be"),
    "operation": (TableSource, with_instruction("greater", op="guess"), "guess"),
    "scalar": (TableSource, with_instruction("scalar", attribute=1000), "scalar"),
    "fetched column": (TableSource, with_instruction("fetch", attribute=(0, 17)), "fetch"),
    "fetched pipeline": (TableSource, with_instruction("fetch", attribute=(7, 0)), "fetch"),
    "condition": (TableSource, lambda pipeline: replace(pipeline, steps=(FilterStep(0),)), "no condition"),
    "table": (TableSource, with_source(chunks=0), "a table in"),
    "partners": (ExpandSource, with_source(width=9), "9 columns"),
    "keeping": (ExpandSource, lambda pipeline: replace(pipeline, sink=CollectSink(pipeline.sink.columns)), "unknown size"),  # type: ignore[union-attr]
    "room": (CompactSink, with_sink(capacity=0), "leaves 0 rows"),
    "numbers of rooms": (CompactSink, with_sink(number=3), "numbered"),
    "rows": (ResultSource, with_source(rows=1), "rows of pipeline"),
    "order of pipelines": (ResultSource, with_source(pipeline=50), "it reads pipeline 50"),
    "columns of the result": (CollectSink, with_sink(columns=(0, 500)), r"reads \[500\]"),
    "words": (TopKSink, with_sink(order=(SortWord(0, 0),)), "rows are compared by"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_broken_is_found(connection: qtensor.Connection, case: str) -> None:
    kind, change, message = BROKEN[case]
    plan = planned(connection, PAIRS if kind in (CompactSink, ResultSource) else JOINED)
    assert not list(problems(plan))
    numbers = [
        number
        for number, pipeline in enumerate(plan.pipelines)
        if isinstance(pipeline.source, kind) or isinstance(pipeline.sink, kind)
    ]
    broken = with_pipeline(plan, numbers[-1], change)
    with pytest.raises(InternalError, match=message):
        verify(broken)


def test_flags_and_accumulators(connection: qtensor.Connection) -> None:
    plan = planned(connection, "SELECT g, sum(i8), count(*) FROM t WHERE 7 // i8 > 1 GROUP BY g")
    assert not list(problems(plan))
    with pytest.raises(InternalError, match="flags"):
        verify(replace(plan, checks=0))
    sink = plan.pipelines[0].sink
    assert isinstance(sink, DenseGroupSink)
    for changes, message in (
        ({"presence": 99}, "does not count"),
        ({"keys": tuple(replace(key, valid=key.code) for key in sink.keys)}, "a key is"),
        ({"accumulators": tuple(replace(item, mask=0) for item in sink.accumulators)}, "masks rows"),
    ):
        with pytest.raises(InternalError, match=message):
            verify(with_pipeline(plan, 0, with_sink(**changes)))
    with pytest.raises(InternalError, match="end in a result"):
        verify(replace(plan, pipelines=plan.pipelines[:1]))


def test_planning_verifies_where_it_is_asked_for(connection: qtensor.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(plan: PhysicalPlan) -> PhysicalPlan:
        return with_pipeline(
            plan, 0, lambda pipeline: replace(pipeline, kernel=(Instruction("guess", (), "int8"), *pipeline.kernel))
        )

    monkeypatch.setattr("qtensor.lowering.planner.plan.narrow_loads", broken)
    with pytest.raises(InternalError, match="not well formed"):
        connection.sql("SELECT sum(i8) FROM t").fetchall()
