"""Executables that are not in use leave the memory, and come back when they are called."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

import qtensor
from qtensor.aot.machine import loaded
from qtensor.aot.machine.loaded import Loaded
from qtensor.aot.machine.runtime import Code

T = pa.table({"a": pa.array([3, 1, None, 2]), "g": ["x", "y", "x", None]})
QUERIES = [
    "SELECT a + 1 AS b FROM t",
    "SELECT a FROM t ORDER BY a",
    "SELECT g, sum(a) AS n FROM t GROUP BY g ORDER BY g",
]


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path))
    monkeypatch.setattr(loaded, "KERNELS_KEPT", 1)
    return tmp_path


def in_memory(relations: list[qtensor.Relation]) -> list[bool]:
    return [module.loaded.is_loaded for relation in relations for module in relation._prepare().compiled.modules]


@pytest.mark.parametrize("with_disk", [True, False])
def test_queries_run_again(little_room: Path, with_disk: bool) -> None:
    """From the cache on disk, or compiled anew where that was emptied meanwhile."""
    connection = qtensor.connect()
    connection.register("t", T)
    relations = [connection.sql(query) for query in QUERIES]
    first = [relation.arrow() for relation in relations]
    assert in_memory(relations) == [False, False, True]
    if not with_disk:
        shutil.rmtree(little_room / "executables")
    assert [relation.arrow() for relation in relations] == first
    assert in_memory(relations) == [False, False, True]


def test_artifacts_run_again(little_room: Path) -> None:
    connection = qtensor.connect()
    connection.register("t", T)
    for number, query in enumerate(QUERIES):
        connection.sql(query).export(little_room / f"{number}.qta")
    artifacts = [qtensor.load(little_room / f"{number}.qta") for number in range(len(QUERIES))]
    expected = [connection.sql(query).arrow() for query in QUERIES]
    for _ in range(2):
        assert [artifact(T) for artifact in artifacts] == expected


def test_the_least_recently_used_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded, "_in_memory", loaded.InMemory())
    monkeypatch.setattr(loaded, "KERNELS_KEPT", 30)
    codes = [Code(object(), b"\x7fELF" * 10) for _ in range(4)]
    a, b, c, d = (Loaded(lambda code=code: code) for code in codes)
    assert [one.executable for one in (a, b, c, a, d)] == [codes[number].executable for number in (0, 1, 2, 0, 3)]
    assert [one.is_loaded for one in (a, b, c, d)] == [True, False, True, True]
    assert b.executable is codes[1].executable
    assert not c.is_loaded


def test_threads(little_room: Path) -> None:
    """Each lets go of what the others are running."""
    connection = qtensor.connect()
    connection.register("t", T)
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            answers = list(pool.map(lambda query: connection.sql(query).arrow(), QUERIES * 4))
    assert answers == [connection.sql(query).arrow() for query in QUERIES] * 4
