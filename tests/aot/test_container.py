"""Files that are no artifact, or no longer: an ArtifactError each."""

from __future__ import annotations

import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import qtensor
from qtensor.aot.artifact.container import MANIFEST, opened, read_container
from qtensor.errors import ArtifactError, DataError
from tests.aot.exports import Exports
from tests.aot.files import parts_of, sealed, sealed_again, with_manifest


@pytest.fixture(scope="module")
def path(exports: Exports, schema: pa.Schema) -> Path:
    return exports.path("SELECT id, s FROM t WHERE i16 > 0 LIMIT 7 OFFSET 2", schema)


@pytest.fixture(scope="module")
def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture(scope="module")
def parts(path: Path) -> dict[str, bytes]:
    return parts_of(path)


def refused(content: bytes, match: str) -> None:
    with pytest.raises(ArtifactError, match=match):
        opened(content)


def test_equal_queries_make_equal_manifests(content: bytes, parts: dict[str, bytes]) -> None:
    assert sealed(parts.items()) != content  # permissions are another
    assert opened(sealed(parts.items())).manifest == opened(content).manifest


def test_ten_thousand_corruptions(exports: Exports) -> None:
    """Bytes changed, cut out, put in, swapped, the end cut off: all of a file is under its seal."""
    content = exports.path("SELECT 1 + 1 AS two, 'a' AS txt, DATE '2020-02-29' AS day, 1.50 AS d, NULL AS n").read_bytes()
    random = np.random.default_rng(0)
    for _ in range(10_000):
        position, size = int(random.integers(len(content))), int(random.integers(1, 9))
        match random.integers(5):
            case 0:
                flipped = bytes([content[position] ^ (1 << int(random.integers(8)))])
                damaged = content[:position] + flipped + content[position + 1 :]
            case 1:
                damaged = content[:position]
            case 2:
                damaged = content[:position] + content[position + size :]
            case 3:
                damaged = content[:position] + random.bytes(size) + content[position:]
            case _:
                damaged = content[:position] + random.bytes(size) + content[position + size :]
        if damaged != content:
            refused(damaged, "no qtensor artifact|damaged")


@pytest.mark.parametrize("content", [b"", b"PK", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x00" * 5_000, b"{}", b"PK" * 5_000])
def test_no_artifact(content: bytes) -> None:
    refused(content, "this is no qtensor artifact, or it is cut short")


def test_no_file(tmp_path: Path) -> None:
    for missing in (tmp_path / "missing.qta", tmp_path):
        with pytest.raises(ArtifactError, match="cannot be read"):
            qtensor.load(missing)


def test_what_is_no_file(tmp_path: Path) -> None:
    """A pipe is not waited for, and a device without end not read."""
    os.mkfifo(tmp_path / "pipe.qta")
    for path in (tmp_path / "pipe.qta", Path("/dev/zero"), Path("/dev/null")):
        with pytest.raises(ArtifactError, match="is no file, and so no artifact"):
            qtensor.load(path)
    with pytest.raises(DataError, match="holds a character that no path can have"):
        qtensor.load(tmp_path / "null\0")


def test_files_that_are_too_large(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused by their size, before a byte of them is read: this one has no bytes on the disk."""
    with (tmp_path / "large.qta").open("wb") as file:
        file.truncate(3_900_000_000)
    with monkeypatch.context() as patch:
        patch.setattr(os, "read", None)
        with pytest.raises(ArtifactError, match=r"3,900,000,000 bytes; an artifact has at most 1,073,741,824"):
            qtensor.load(tmp_path / "large.qta")
    path = tmp_path / "q.qta"
    path.write_bytes(content)
    assert read_container(path, len(content)).size == len(content)
    with pytest.raises(ArtifactError, match="size_limit="):
        qtensor.load(path, size_limit=len(content) - 1)
    monkeypatch.setenv("QTENSOR_ARTIFACT_LIMIT", "1000")
    with pytest.raises(ArtifactError, match="at most 1,000, or what QTENSOR_ARTIFACT_LIMIT"):
        qtensor.load(path)
    with pytest.raises(ArtifactError, match="more than the 1,000 of QTENSOR_ARTIFACT_LIMIT"):
        qtensor.export("SELECT 1 AS one", tmp_path / "one.qta", tables={})
    monkeypatch.setenv("QTENSOR_ARTIFACT_LIMIT", "much")
    with pytest.raises(ArtifactError, match="QTENSOR_ARTIFACT_LIMIT is a number of bytes, not 'much'"):
        qtensor.load(path)


def test_packed_anew(parts: dict[str, bytes]) -> None:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part)
    refused(memory.getvalue(), "another program has packed it anew")


@pytest.mark.parametrize("compression", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compressed(compression: int, parts: dict[str, bytes]) -> None:
    refused(sealed(parts.items(), compression), "compressed or encrypted")


def test_a_bomb() -> None:
    refused(sealed([(MANIFEST, bytes(50 << 20))], zipfile.ZIP_DEFLATED), "compressed or encrypted")


def directory_entry(content: bytes) -> int:
    """Where the central directory's first entry begins."""
    return content.index(b"PK\x01\x02")


def test_lying_sizes(content: bytes) -> None:
    """The directory states sizes beyond the file, alike for what is stored and what comes out of it."""
    start = directory_entry(content)
    for size in (1 << 30, 0xFFFFFFFE, 0xFFFFFFFF):
        lie = content[: start + 20] + struct.pack("<2L", size, size) + content[start + 28 :]
        refused(sealed_again(lie), "longer than the file|damaged|compressed")


def test_overlapping_parts(content: bytes, parts: dict[str, bytes]) -> None:
    """Every entry of the directory leads to the first part."""
    lie = bytearray(content)
    position = directory_entry(content)
    while (position := content.find(b"PK\x01\x02", position)) >= 0:
        lie[position + 42 : position + 46] = bytes(4)
        position += 4
    refused(sealed_again(bytes(lie)), "damaged")


def test_encrypted(content: bytes) -> None:
    start = directory_entry(content)
    refused(sealed_again(content[: start + 8] + b"\x01" + content[start + 9 :]), "compressed or encrypted")


@pytest.mark.parametrize(
    "name",
    [
        "../evil.mlir",
        "/etc/evil.mlir",
        "a/../b.mlir",
        "C:evil.mlir",
        "a\\b.mlir",
        "part",
        "a.exe",
        "Ä.mlir",
        "a b.mlir",
        "",
        "a/",
        "a.mlir\n",
    ],
)
def test_names(name: str, parts: dict[str, bytes]) -> None:
    refused(sealed([*parts.items(), (name, b"x")]), "is no name of a part")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_names_twice(parts: dict[str, bytes]) -> None:
    refused(sealed([*parts.items(), (MANIFEST, parts[MANIFEST])]), "twice")


def test_missing_and_extra_parts(parts: dict[str, bytes]) -> None:
    refused(sealed([(name, part) for name, part in parts.items() if name != MANIFEST]), "no manifest")
    for left_out in parts:
        if left_out != MANIFEST:
            refused(
                sealed([(name, part) for name, part in parts.items() if name != left_out]), "not those that its manifest lists"
            )
    refused(sealed([*parts.items(), ("more.bin", b"x")]), "not those that its manifest lists")


def test_parts_of_other_content(parts: dict[str, bytes]) -> None:
    for name in parts:
        if name != MANIFEST:
            refused(sealed({**parts, name: parts[name] + b"x"}.items()), f"{name} is not what the manifest says")


def test_too_many_parts(parts: dict[str, bytes]) -> None:
    refused(sealed([*parts.items(), *((f"part{number}.bin", b"") for number in range(5_000))]), "too many parts")


@pytest.mark.parametrize("version", [0, 1, 2, 4, 10**6, "1", None, 1.0, [1], True])
def test_versions(version: object, parts: dict[str, bytes]) -> None:
    changed = with_manifest(parts, lambda manifest: manifest.update(format=version))
    refused(sealed(changed.items()), "its format is number .*export it again|its manifest cannot be read")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"format": 1}',
        "[" * 100_000,
        '{"a":' * 100_000,
        "9" * 10_000,
        '{"format": ' + "1" * 10_000 + "}",
        "\ud800",
        "NaN",
        '{"format": 1, "format": 1}',
    ],
    ids=range(12),
)
def test_manifests_that_are_none(text: str, parts: dict[str, bytes]) -> None:
    broken = {**parts, MANIFEST: text.encode(errors="surrogatepass")}
    refused(sealed(broken.items()), "its manifest cannot be read|its format is number")


def deep(manifest: Any) -> None:
    for _ in range(400):
        manifest["bound"] = {"@": "Limit", "input": manifest["bound"], "count": 1, "offset": 0}


def add_field(manifest: Any) -> None:
    manifest["forms"][0]["more"] = 1


def remove_field(manifest: Any) -> None:
    del manifest["output"]


def other_class(manifest: Any) -> None:
    manifest["@"] = "Container"


def path_as_class(manifest: Any) -> None:
    manifest["bound"] = {"@": "PosixPath", "path": "/"}


@pytest.mark.parametrize("change", [deep, add_field, remove_field, other_class, path_as_class])
def test_other_fields(change: Callable[[Any], None], parts: dict[str, bytes]) -> None:
    refused(sealed(with_manifest(parts, change).items()), "its manifest cannot be read")


def test_the_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be written"):
        qtensor.export("SELECT 1 AS one", tmp_path / "missing" / "x.qta", tables={})
    (tmp_path / "folder.qta").mkdir()
    with pytest.raises(ArtifactError, match="cannot be written"):
        qtensor.export("SELECT 1 AS one", tmp_path / "folder.qta", tables={})
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder.qta"]


def test_a_reader_says_which_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "cut.qta").write_bytes(content[:-1])
    with pytest.raises(ArtifactError, match=r"cut\.qta: this is no qtensor artifact"):
        read_container(tmp_path / "cut.qta")


def test_it_is_plain_data(content: bytes, parts: dict[str, bytes]) -> None:
    """A zip with JSON, StableHLO, arrays and native code; nothing pickled."""
    assert {name.rpartition(".")[2] for name in parts} <= {"json", "mlir", "npy", "bin"}
    assert json.loads(parts[MANIFEST])["@"] == "Manifest"
    assert all(part.startswith(b"ML\xefR") for name, part in parts.items() if name.endswith(".mlir"))
