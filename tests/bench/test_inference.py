"""The benchmark of models in queries at its smallest: every contest is held, and wrong scores stop it. No timing is asserted."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from rich.console import Console

from bench import timing
from bench.inference import benchmark, goals, onnx_models, rivals, star_schemas
from bench.inference.first_call import measure
from bench.inference.spark_side import of_columns
from bench.inference.workload import KINDS, workload
from bench.timing import Contest, Contestant, Effort, Measured, Sameness, WrongResultError, check_rows, rows_of, same_rows

BRIEFLY = Effort(rounds=1, least=1, seconds=0.0, warm_seconds=0.0)
NETWORKS = ("softmax", "wide-deep", "text", "xgboost-3-3")
TINY = benchmark.Settings(
    networks=NETWORKS,
    rows=(300,),
    kinds=("group",),
    selective=("20-64-32-1",),
    shares=(0.01, 1.0),
    selective_rows=3_000,
    star_rows=0,
    first_calls=0,
    spark=False,
    effort=BRIEFLY,
)


def test_every_contest_is_held(tmp_path):
    console = Console(record=True, width=160, highlight=False)
    benchmark.run(TINY, console, tmp_path, tmp_path / "tiny.json")
    results = json.loads((tmp_path / "tiny.json").read_text())
    held = {
        one["name"]: {c["name"] for c in one["contestants"]} for section in results["sections"] for one in section["contests"]
    }
    always = {rivals.QTENSOR, rivals.DUCKDB}
    tensorflow = {"TensorFlow", "TensorFlow, stacked before"}
    assert held == {
        "softmax, 300 rows": always | tensorflow | {rivals.ONNX},
        "wide-deep, 300 rows": always | tensorflow,
        "text, 300 rows": always | tensorflow,
        "xgboost-3-3, 300 rows": always | {"XGBoost", "XGBoost, stacked before", rivals.ONNX},
        "20-64-32-1, 3,000 rows, 1%": always | tensorflow | {rivals.ONNX},
        "20-64-32-1, 3,000 rows, 100%": always | tensorflow | {rivals.ONNX},
    }
    assert [target["name"] for target in results["targets"]][1:] == [
        "softmax: faster than DuckDB, Arrow UDF",
        "texts: faster than TensorFlow",
    ]
    assert (tmp_path / "models.png").read_bytes().startswith(b"\x89PNG")
    assert f"Without {rivals.ONNX}: no ONNX file is built of this model here (wide-deep" in console.export_text()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_rivals_answer_as_their_library(kind, share):
    """NumPy's answer of each kind of query, of all rows and of those that are chosen first, and DuckDB's."""
    given = workload("4-2", 500, kind)
    contestants = [Contestant(way, answer) for way, answer in numpy_ways(given, share).items()]
    assert len(contestants) == (4 if share < 1 else 2)
    with rivals.duckdb_udf(given, share, 1) as duckdb:
        check_rows(kind, [*contestants, duckdb], sameness=benchmark.CLOSE)


def numpy_ways(given, share):
    ways = {way: rivals.from_columns(given, scores) for way, scores in given.scores.items()}
    return rivals.with_numpy(given, share, ways)


@pytest.mark.parametrize("name", ["softmax", "4-3-2", "lstm", "cnn", "encoder", "xgboost-3-3", "lightgbm-3-5", "forest-3-4"])
def test_onnx_files_score_as_their_models(name):
    given = workload(name, 40)
    contestant = rivals.onnx_runtime(given, 1.0, onnx_models.onnx_model(name, given.model))
    way = next(iter(numpy_ways(given, 1.0).values()))
    assert same_rows(rows_of(contestant.run()), rows_of(way()), benchmark.CLOSE)


@pytest.mark.parametrize("name", ["4-3-2", "forest-3-4"])
def test_models_in_spark_score_as_their_library(name, tmp_path):
    """What Spark's workers call, called here without it."""
    from bench.inference.spark_rival import saved

    given = workload(name, 40)
    columns = list(given.columns.values())
    found = of_columns(saved(given, tmp_path), len(columns))(*columns)
    assert np.allclose(found, given.scores["graph" if "graph" in given.scores else "predict"](columns), rtol=1e-5)
    if given.library != "TensorFlow":
        (path,) = tmp_path.glob("*/model.pickle")
        assert type(pickle.loads(path.read_bytes())) is type(given.model)


@pytest.mark.parametrize(("schema", "kind"), star_schemas.PAIRS)
def test_star_schemas(schema, kind):
    """The same rows from DuckDB with the pipeline's own predict, some of each class."""
    given = star_schemas.SCHEMAS[schema](np.random.default_rng(0), 1_500)
    model = star_schemas.pipeline(given, kind)
    for result, query in given.queries().items():
        with star_schemas.contestants(given, model, query, 1) as contestants:
            check_rows(result, contestants, sameness=Sameness(ordered=False))
            if result == "counts":
                assert len(rows_of(contestants[0].run())) == 2


def test_wrong_scores_stop_the_contest(monkeypatch):
    monkeypatch.setattr(rivals, "arrow_function", lambda scores, width: arrow(lambda columns: scores(columns) + 0.01, width))
    with pytest.raises(WrongResultError, match="DuckDB, Arrow UDF gives"):
        run_one("4-2", 200)


arrow = rivals.arrow_function


def run_one(name, rows):
    given = workload(name, rows)
    with rivals.duckdb_udf(given, 0.5, 1) as duckdb:
        first = Contestant("TensorFlow", next(iter(numpy_ways(given, 0.5).values())))
        return timing.contest(name, [first, duckdb], BRIEFLY, sameness=benchmark.CLOSE)


def test_first_call_of_a_process():
    found = measure("4-2", 300)
    assert found["total"] > found["compiling"] > 0
    assert found["registering"] > 0


def test_goals_are_judged():
    def measurement(workload: str, share: float = 0.5, **medians: float) -> goals.Measurement:
        names = {"ours": rivals.QTENSOR, "library": "TensorFlow", "duckdb": rivals.DUCKDB}
        measured = tuple(Measured(names[key], (value,)) for key, value in medians.items())
        return goals.Measurement(workload, 1_000, share, "group", Contest(f"{workload} {share}", measured))

    found = [
        measurement("softmax", ours=1, library=3, duckdb=11),
        measurement("softmax", ours=1, library=2, duckdb=9),
        measurement("32-128-64-1", ours=1, library=0.5, duckdb=3.5),
        measurement("100-256-128-10", 0.01, ours=1),
        measurement("100-256-128-10", 1.0, ours=21),
        measurement("text", ours=1, library=5),
    ]
    first = Contest("first", (Measured(rivals.QTENSOR, (0.4,)),))
    assert [(target.name, target.found, target.reached) for target in goals.judge(found, first)] == [
        ("never slower than its own library, least: 32-128-64-1 0.5", "0.50x", False),
        ("softmax: faster than DuckDB, Arrow UDF", "9.00x", False),
        ("32-128-64-1: faster than DuckDB, Arrow UDF", "3.50x", True),
        ("100-256-128-10: 1 % of rows faster than all", "21.0x", True),
        ("texts: faster than TensorFlow", "5.00x", False),
        ("first call of a query with 32-128-64-1", "0.40 s", True),
    ]
    assert goals.judge([], None) == []


def test_command_line_is_read():
    options = benchmark.parser().parse_args(["--rows", "1000,10000000", "--spark"])
    assert benchmark.words(options.rows) == ("1000", "10000000")
    assert options.spark
