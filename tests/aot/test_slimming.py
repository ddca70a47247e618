"""Executables without their HLO: they load, run and show their HLO as those with it; what is not known is left as it is."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from jaxlib import version

import qtensor
from qtensor.aot.machine import slimming
from qtensor.aot.machine.compile import without_locations
from qtensor.aot.machine.runtime import load_executable
from qtensor.aot.machine.slimming import divided, is_slim, slimmed, whole_module
from qtensor.aot.protobuf import Message, delimited, message
from tests.aot.test_loaded import in_memory

T = pa.table({"a": pa.array([3, 1, None, 2, 3]), "g": ["x", "y", "x", None, "z"], "x": [1.5, None, -0.0, 2.5, 1e300]})
QUERIES = [
    "SELECT a + 1 AS b, g, x FROM t",
    "SELECT DISTINCT a, g FROM t WHERE x > 1 ORDER BY g DESC, a LIMIT 2",
    "SELECT g, sum(a) AS n, median(x) AS m, count(DISTINCT x) AS d FROM t GROUP BY g ORDER BY g",
    "SELECT g, x, stddev(x) AS s FROM t GROUP BY ALL ORDER BY ALL",
    "SELECT l.a, r.g FROM t AS l LEFT JOIN t AS r ON l.a = r.a AND l.g <> r.g ORDER BY ALL",
    "SELECT a, mode(g) OVER w AS m, sum(x) OVER w AS s FROM t WINDOW w AS (ORDER BY x ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING)",
    "SELECT 1 AS one, 'a' AS text",
    "SELECT g, string_agg(g, ',') AS s FROM t GROUP BY g ORDER BY g",
]


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path))
    return tmp_path / "executables"


def asked(query: str) -> qtensor.Relation:
    connection = qtensor.connect()
    connection.register("t", T)
    return connection.sql(query)


def payloads(cache: Path) -> list[bytes]:
    """Behind the magic and the digest."""
    return [path.read_bytes().split(b"\n", 1)[1][32:] for path in cache.iterdir()]


def test_the_installed_jaxlib_is_known() -> None:
    """A new version goes into KNOWN_VERSIONS when the tests of this file pass with it there."""
    assert version.__version__ in slimming.KNOWN_VERSIONS


@pytest.mark.parametrize("query", QUERIES)
def test_loaded_executables_do_the_same(cache: Path, query: str) -> None:
    compiled, loaded = asked(query), asked(query)
    answer = compiled.arrow()
    assert all(is_slim(payload) for payload in payloads(cache))
    assert loaded.arrow() == answer
    modules = loaded._prepare().compiled.modules
    assert all(module.from_cache and module.loaded._is_slim for module in modules)
    assert loaded.hlo() == compiled.hlo()
    assert "fusion" in loaded.hlo() or "broadcast" in loaded.hlo()


def test_hlo_of_what_has_left_the_memory(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = asked(QUERIES[2])
    shown = first.hlo()
    again = asked(QUERIES[2])
    again.arrow()
    monkeypatch.setattr("qtensor.aot.machine.loaded.KERNELS_KEPT", 1)
    asked(QUERIES[3]).arrow()
    assert not any(in_memory([again]))
    assert again.hlo() == shown


def test_the_whole_module_is_kept(cache: Path) -> None:
    relation = asked(QUERIES[2])
    relation.arrow()
    (payload,) = payloads(cache)
    code = load_executable(payload)
    assert code.is_slim
    (module,), (stub,) = code.hlo_modules(), code.executable.hlo_modules()
    assert without_locations(module.to_string()) == relation.hlo()
    assert "fusion" not in stub.to_string()


def test_other_versions_keep_their_hlo(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slimming, "KNOWN_VERSIONS", ())
    answer = asked(QUERIES[2]).arrow()
    (payload,) = payloads(cache)
    assert not is_slim(payload)
    assert whole_module(payload) is None
    again = asked(QUERIES[2])
    assert again.arrow() == answer
    assert again.hlo()
    monkeypatch.undo()
    slim = slimmed(payload)
    assert is_slim(slim)
    assert slimmed(slim) == slim
    assert len(slim) < len(payload)


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"\x03abc", b"\x00\x08\x01", bytes(100)])
def test_what_is_no_executable_is_left_as_it_is(content: bytes) -> None:
    assert slimmed(content) == content
    assert not is_slim(content)


def test_an_executable_with_a_field_that_is_not_known_is_left_as_it_is(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slimming, "KNOWN_VERSIONS", ())
    asked(QUERIES[0]).arrow()
    monkeypatch.undo()
    (payload,) = payloads(cache)
    assert is_slim(slimmed(payload))
    head, rest = divided(payload)
    executable = Message(rest)
    result = Message(executable.bytes(slimming.EXECUTABLE_RESULT))
    buffers = message([*Message(result.bytes(slimming.RESULT_BUFFERS)).fields, delimited(77, b"?")])
    changed = message(slimming.Slimming.replaced(result, slimming.RESULT_BUFFERS, buffers))
    other = head + message(slimming.Slimming.replaced(executable, slimming.EXECUTABLE_RESULT, changed))
    assert slimmed(other) == other
