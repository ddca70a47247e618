"""Exported queries over several tables: joins, subqueries, the same table twice; what they assume, and how much room they have."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import qtensor
from qtensor.aot.artifact.artifact import Artifact
from qtensor.aot.artifact.container import MANIFEST, opened, read_container
from qtensor.cli.describe import as_text, describe
from qtensor.errors import ArtifactError, CapacityError, NativeError, QTensorError
from tests.aot.exports import answer_of
from tests.aot.files import parts_of, sealed, with_manifest
from tests.aot.test_hostile_manifests import mutate
from tests.aot.test_processes import run
from tests.oracle import answer_of_duckdb, assert_same_answer, is_ordered

JOINED = (
    "SELECT c.region, o.word, count(*) AS n, sum(o.price) AS total FROM orders o JOIN customers c ON o.customer = c.id "
    "WHERE o.price > $least GROUP BY c.region, o.word ORDER BY c.region NULLS LAST, o.word NULLS LAST"
)
PASSED_ON = "SELECT o.id, o.word, c.region FROM orders o LEFT JOIN customers c ON o.customer = c.id"
TWICE = "SELECT a.id, b.id AS other FROM orders a JOIN orders b ON a.customer = b.customer ORDER BY a.id, b.id"
WORDS = "SELECT count(*) AS n FROM orders o JOIN words w ON o.word = w.word"
COMMON = (
    "WITH g AS (SELECT customer, word, count(*) AS n FROM orders GROUP BY ALL), h AS (SELECT a.customer, b.n FROM g a JOIN g b USING (word)"
    " WHERE a.customer = b.customer) SELECT x.customer, sum(y.n) AS n FROM h x JOIN h y ON x.customer = y.customer + 1 GROUP BY ALL"
)
QUERIES = {"joined": JOINED, "passed on": PASSED_ON, "twice": TWICE, "words": WORDS, "common": COMMON}
PARAMS = {"joined": {"least": 3}}


def tables_of(orders: int, customers: int, seed: int = 0) -> dict[str, pa.Table]:
    """Orders of customers, some of whom are unknown; each customer once."""
    random = np.random.default_rng(seed)

    def with_nulls(values: Any, type: pa.DataType) -> pa.Array:
        return pa.array(values, type, mask=random.random(len(values)) < 0.1)

    words = np.array(["ash", "birch", "cedar", "elm", ""])
    of_orders = {
        "id": pa.array(np.arange(orders)),
        "customer": with_nulls(random.integers(0, max(1, 2 * customers), orders), pa.int64()),
        "price": with_nulls(random.integers(-20, 100, orders), pa.int64()),
        "word": with_nulls(words[random.integers(0, 5, orders)], pa.string()),
    }
    of_customers = {
        "id": pa.array(random.permutation(customers)),
        "region": with_nulls(random.integers(0, 4, customers), pa.int64()),
    }
    return {
        "orders": pa.table(of_orders),
        "customers": pa.table(of_customers),
        "words": pa.table({"word": pa.array(["elm", "oak", None, "cedar", "elm"])}),
    }


def given(artifact: Artifact, tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    return {name: tables[name] for name in artifact.tables}


def assert_as_duckdb(artifact: Artifact, tables: Mapping[str, pa.Table], **values: Any) -> None:
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        expected = answer_of_duckdb(connection, artifact.sql, {**artifact.parameters, **values} or None)
    found = answer_of(artifact, artifact(**given(artifact, tables), **values))
    assert_same_answer(found, expected, ordered=is_ordered(artifact.sql))


SAMPLE = tables_of(3_000, 700)


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The file of each query, exported from the sample when first asked for."""
    folder = tmp_path_factory.mktemp("several")

    def path(name: str) -> Path:
        file = folder / f"{name}.qta"
        if not file.exists():
            qtensor.export(QUERIES[name], file, tables=SAMPLE, params=PARAMS.get(name))
        return file

    return path


@pytest.mark.parametrize("name", QUERIES)
def test_other_tables(name: str, paths: Callable[[str], Path]) -> None:
    """Of the sample's size, smaller, empty, and so large that the larger form serves them."""
    artifact = qtensor.load(paths(name), threads=2)
    assert_as_duckdb(artifact, SAMPLE)
    assert_as_duckdb(artifact, tables_of(1, 600, seed=1))
    assert_as_duckdb(artifact, tables_of(0, 0, seed=2))
    assert_as_duckdb(artifact, {**SAMPLE, "orders": SAMPLE["orders"].slice(0, 2_500)})
    if name != "twice":
        assert_as_duckdb(artifact, {**tables_of(3_000, 700, seed=3), "orders": pa.concat_tables([SAMPLE["orders"]] * 2)})


def test_parameters(paths: Callable[[str], Path]) -> None:
    """Planned anew in the loaded artifact: the same program, with other literals."""
    artifact = qtensor.load(paths("joined"), threads=2)
    assert_as_duckdb(artifact, SAMPLE, least=50)
    assert_as_duckdb(artifact, SAMPLE, least=-3)


def test_only_types(tmp_path: Path) -> None:
    """Nothing is assumed to be unique, so that partners may be several."""
    qtensor.export(PASSED_ON, tmp_path / "q.qta", tables={name: table.schema for name, table in SAMPLE.items()})
    artifact = qtensor.load(tmp_path / "q.qta", threads=2)
    assert all(read.unique == () for read in artifact.manifest.inputs)
    assert [form.sizes for form in artifact.manifest.forms] == [(1 << bits,) * 2 for bits in (11, 16, 20)]
    twice = pa.concat_tables([SAMPLE["customers"].slice(0, 300)] * 2)
    assert_as_duckdb(artifact, {**SAMPLE, "customers": twice})


def test_a_key_with_duplicates(paths: Callable[[str], Path]) -> None:
    artifact = qtensor.load(paths("joined"), threads=2)
    twice = pa.concat_tables([SAMPLE["customers"].slice(0, 300)] * 2)
    with pytest.raises(ArtifactError, match=r'the table "customers".*\n.*assumed no two equal rows of \(id\), found some'):
        artifact(orders=SAMPLE["orders"], customers=twice)


def test_a_broken_assumption_names_its_table(paths: Callable[[str], Path]) -> None:
    artifact = qtensor.load(paths("joined"), threads=2)
    high = SAMPLE["customers"].set_column(1, "region", pa.array([1_000] * 700))
    with pytest.raises(ArtifactError, match=r'the table "customers".*\n.*column "region": assumed values'):
        artifact(orders=SAMPLE["orders"], customers=high)


def test_capacity(paths: Callable[[str], Path]) -> None:
    artifact = qtensor.load(paths("joined"), threads=2)
    with pytest.raises(CapacityError, match='"orders" may have 16,384 rows; 18,000 given'):
        artifact(orders=pa.concat_tables([SAMPLE["orders"]] * 6), customers=SAMPLE["customers"])


def test_more_pairs_than_room(paths: Callable[[str], Path]) -> None:
    artifact = qtensor.load(paths("twice"), threads=2)
    same = SAMPLE["orders"].set_column(1, "customer", pa.array([1] * 3_000))
    with pytest.raises(CapacityError, match=r"room for [\d,]+ rows of a join's result; there are 9,000,000"):
        artifact(orders=same)


def test_arguments(paths: Callable[[str], Path]) -> None:
    artifact = qtensor.load(paths("joined"), threads=2)
    assert sorted(artifact.tables) == ["customers", "orders"]
    with pytest.raises(ArtifactError, match="not given: customers"):
        artifact(orders=SAMPLE["orders"])
    with pytest.raises(ArtifactError, match="give each by its name"):
        artifact(SAMPLE["orders"], SAMPLE["customers"])
    with pytest.raises(ArtifactError, match=r"several tables \(.*\): call it"):
        artifact.stream(orders=SAMPLE["orders"], customers=SAMPLE["customers"])


def test_description(paths: Callable[[str], Path]) -> None:
    text = as_text("q.qta", describe(read_container(paths("joined"))))
    assert "Input: table customers, 700 rows when exported" in text
    assert "no two equal rows of (id)" in text
    assert "4,096 of orders" in text


def test_native_libraries_read_one_table(tmp_path: Path) -> None:
    with qtensor.connect() as connection:
        for name, table in SAMPLE.items():
            connection.register(name, table)
        for sql in (PASSED_ON, TWICE):
            with pytest.raises(NativeError, match=r"use Relation\.export"):
                connection.sql(sql).export_native(tmp_path / "library")


ALONE = """
import sys
import qtensor

query = qtensor.load(sys.argv[1])
print(query.trusted, repr(query(orders=sys.argv[2], customers=sys.argv[3]).to_pylist()) == sys.argv[4])
assert not {"sqlglot", "tensorflow", "qtensor.lowering.planner.plan", "qtensor.optimise.driver"} & set(sys.modules)
"""


def test_in_a_fresh_process(paths: Callable[[str], Path], tmp_path: Path) -> None:
    for name in ("orders", "customers"):
        pq.write_table(SAMPLE[name], tmp_path / f"{name}.parquet")
    expected = qtensor.load(paths("joined"))(orders=SAMPLE["orders"], customers=SAMPLE["customers"]).to_pylist()
    files = [tmp_path / f"{name}.parquet" for name in ("orders", "customers")]
    assert run(ALONE, paths("joined"), *files, Path(repr(expected))) == "True True"


@pytest.mark.parametrize("name", ["joined", "twice"])
def test_hostile_manifests(name: str, paths: Callable[[str], Path]) -> None:
    """A QTensorError or an answer, whatever stands in the manifest."""
    parts = parts_of(paths(name))
    original = json.loads(parts[MANIFEST])
    random = np.random.default_rng(5)
    small = {table: rows.slice(0, 50) for table, rows in SAMPLE.items()}
    for _ in range(25):
        manifest = json.loads(json.dumps(original))
        change = mutate(manifest, random)
        try:
            artifact = Artifact(
                opened(sealed({**parts, MANIFEST: json.dumps(manifest).encode()}.items())), threads=1, isolated=False
            )
            artifact(**{table: small[table] for table in artifact.tables if table in small})
        except QTensorError:
            pass
        except Exception as error:
            raise AssertionError(f"{change} gives {type(error).__name__}: {error}") from error


def plan_of(manifest: Any) -> Any:
    return manifest["forms"][0]["planned"]["plan"]


IMPOSSIBLE: dict[str, Callable[[Any], object]] = {
    "a size": lambda m: m["forms"][0]["sizes"].__setitem__(0, 3_000),
    "no size": lambda m: m["forms"][0]["sizes"].pop(),
    "a table twice": lambda m: m["inputs"].append(m["inputs"][0]),
    "a key of other columns": lambda m: m["inputs"][0].update(unique=[[99]]),
    "a later pipeline": lambda m: next(
        pipeline["source"].update(pipeline=99) for pipeline in plan_of(m)["pipelines"] if "pipeline" in pipeline["source"]
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible(name: str, paths: Callable[[str], Path]) -> None:
    parts = parts_of(paths("joined"))
    with pytest.raises(ArtifactError, match="manifest"):
        Artifact(opened(sealed(with_manifest(parts, IMPOSSIBLE[name]).items())), isolated=False)
