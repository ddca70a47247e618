"""Native code of a file runs only if this user trusts the file; everybody else compiles its StableHLO."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import qtensor
from qtensor.aot.artifact import programs, trust
from qtensor.aot.artifact.container import read_container
from qtensor.aot.machine import cache
from qtensor.errors import ArtifactError
from tests.aot.exports import Exports
from tests.aot.files import parts_of, sealed, with_manifest, with_part

TABLE = pa.table({"a": [1, 2, 3]})
EXPECTED = [{"total": 6}]


@pytest.fixture(scope="module")
def path(exports: Exports) -> Path:
    return exports.path("SELECT sum(a) AS total FROM data", TABLE)


@pytest.fixture
def store(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty trust store, and an empty cache of compiled code."""
    monkeypatch.setenv("QTENSOR_TRUST", str(tmp_path / "trust"))
    monkeypatch.setenv("QTENSOR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "trust"


@pytest.fixture
def loaded_code(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """Every piece of native code that anything loads."""
    seen: list[bytes] = []
    load = programs.load_executable

    def watched(payload: bytes) -> Any:
        seen.append(payload)
        return load(payload)

    for module in (programs, cache):
        monkeypatch.setattr(module, "load_executable", watched)
    yield seen


def test_untrusted_code_is_not_touched(path: Path, store: Path, loaded_code: list[bytes]) -> None:
    artifact = qtensor.load(path, isolated=False)
    assert not artifact.trusted
    assert artifact(TABLE).to_pylist() == EXPECTED
    assert loaded_code == []


def test_trusted_code_is_used(path: Path, store: Path, loaded_code: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    trust.add_trust(read_container(path).digest)
    monkeypatch.setattr(programs, "compile_stablehlo", None)
    artifact = qtensor.load(path)
    assert artifact.trusted
    assert artifact(TABLE).to_pylist() == EXPECTED
    native = [part for name, part in parts_of(path).items() if name.startswith("native/")]
    assert loaded_code
    assert all(code in native for code in loaded_code)


def test_trust_ends(path: Path, store: Path) -> None:
    digest = read_container(path).digest
    trust.add_trust(digest)
    assert trust.trusted_digests() == [digest]
    assert trust.remove_trust(digest)
    assert not trust.remove_trust(digest)
    assert not qtensor.load(path, isolated=False).trusted


def test_export_trusts_what_it_wrote(store: Path, tmp_path: Path) -> None:
    qtensor.export("SELECT 1 AS one", tmp_path / "one.qta", tables={})
    assert qtensor.load(tmp_path / "one.qta").trusted
    assert os.stat(store).st_mode & 0o777 == 0o700  # noqa: PTH116


def test_trust_is_of_all_bytes(path: Path, store: Path, tmp_path: Path, loaded_code: list[bytes]) -> None:
    """A trusted file whose native code was exchanged is another file."""
    trust.add_trust(read_container(path).digest)
    parts = parts_of(path)
    name = next(name for name in parts if name.startswith("native/"))
    (tmp_path / "changed.qta").write_bytes(sealed(with_part(parts, name, b"evil").items()))
    artifact = qtensor.load(tmp_path / "changed.qta", isolated=False)
    assert not artifact.trusted
    assert artifact(TABLE).to_pylist() == EXPECTED
    assert loaded_code == []


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o722, 0o777])
def test_a_store_that_others_can_write_trusts_nothing(mode: int, path: Path, store: Path) -> None:
    digest = read_container(path).digest
    trust.add_trust(digest)
    assert trust.is_trusted(digest)
    store.chmod(mode)
    assert not trust.is_trusted(digest)
    with pytest.raises(ArtifactError, match="trusts nothing, since others can write to it"):
        trust.add_trust(digest)


def test_a_store_that_cannot_be_written(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write_text("a file")
    assert not trust.is_trusted("0" * 64)
    assert trust.trusted_digests() == []
    with pytest.raises(ArtifactError, match=r"the trust store .* cannot be written"):
        trust.add_trust("0" * 64)


@pytest.mark.parametrize("digest", ["", "../x", "0" * 63, "0" * 65, "G" * 64, "A" * 64, "0" * 64 + "\n"])
def test_digests_that_are_none(digest: str, store: Path) -> None:
    assert not trust.is_trusted(digest)
    with pytest.raises(ArtifactError, match="is no SHA-256 digest"):
        trust.add_trust(digest)


def test_code_of_another_machine(path: Path, store: Path, tmp_path: Path, loaded_code: list[bytes]) -> None:
    """Trusted, but for another CPU or jaxlib: compiled."""

    def elsewhere(manifest: Any) -> None:
        for executable in manifest["executables"]:
            executable["environment"] = "jaxlib 9.9 another"

    other = tmp_path / "other.qta"
    other.write_bytes(sealed(with_manifest(parts_of(path), elsewhere).items()))
    trust.add_trust(read_container(other).digest)
    artifact = qtensor.load(other)
    assert artifact.trusted
    assert artifact(TABLE).to_pylist() == EXPECTED
    assert loaded_code == []


def test_trusted_code_that_does_not_load(path: Path, store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts = parts_of(path)
    for name in [name for name in parts if name.startswith("native/")]:
        parts = with_part(parts, name, parts[name][:100])
    broken = tmp_path / "broken.qta"
    broken.write_bytes(sealed(parts.items()))
    trust.add_trust(read_container(broken).digest)
    assert qtensor.load(broken)(TABLE).to_pylist() == EXPECTED
    assert "does not load, and is compiled anew" in caplog.text
