"""The file of an artifact: a zip of uncompressed parts, a manifest first, sealed by a digest of all its bytes at its end.

Nothing in it is trusted until the seal, the names, the sizes and the digest of each part have been checked. The seal finds
damage, not malice: whoever can write a file can seal it. What a hostile file can do is limited by what is ever done with its
parts (`aot/artifact/codec.py`, `aot/machine/runtime.py`), and its native code is not touched unless the user trusts it
(`aot/artifact/trust.py`).
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import stat
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qtensor.aot.artifact.codec import FormatError, from_json, to_json
from qtensor.aot.artifact.manifest import FORMAT, Manifest, Part
from qtensor.errors import ArtifactError
from qtensor.files.whole_file import whole_file

MANIFEST = "manifest.json"
SEAL = b"qtensor artifact, sha256 of the bytes before this comment: "

_NAME = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*\.(json|mlir|npy|bin)")
_DATE = (1980, 1, 1, 0, 0, 0)  # equal queries make equal files
_END = struct.Struct("<4s4H2LH")  # a zip's end of central directory, before its comment
_SIZE_LIMIT = 1 << 30  # bytes: models of 250 million weights; a stranger's file must not fill the memory before it is looked at
_MANIFEST_LIMIT = 64 << 20
_PARTS_LIMIT = 4_096


@dataclass(frozen=True)
class Container:
    """An artifact's manifest and parts, checked; `digest` is the SHA-256 of the file, hexadecimal."""

    manifest: Manifest
    parts: Mapping[str, bytes]
    digest: str
    size: int


def part_of(name: str, content: bytes) -> Part:
    return Part(name, len(content), hashlib.sha256(content).hexdigest())


def write_container(path: str | os.PathLike[str], manifest: Manifest, parts: Mapping[str, bytes]) -> str:
    """Write the file whole or not at all. Returns its digest."""
    text = json.dumps(to_json(manifest), indent=1).encode()
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, content in {MANIFEST: text, **parts}.items():
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
        archive.comment = SEAL + b"0" * 64
    content = memory.getvalue()[:-64]
    content += hashlib.sha256(content).hexdigest().encode()
    if len(content) > (limit := size_limit()):
        raise ArtifactError(f"{path} would have {len(content):,} bytes, more than the {limit:,} of QTENSOR_ARTIFACT_LIMIT")
    try:
        with whole_file(Path(path)) as file:
            file.write(content)
    except OSError as error:
        raise ArtifactError(f"{path} cannot be written: {error}") from error
    return hashlib.sha256(content).hexdigest()


def size_limit() -> int:
    """How many bytes an artifact may have, if nothing else is said. Raises ArtifactError: QTENSOR_ARTIFACT_LIMIT is no number."""
    chosen = os.environ.get("QTENSOR_ARTIFACT_LIMIT") or str(_SIZE_LIMIT)
    if not (chosen.isascii() and chosen.isdigit()):
        raise ArtifactError(f"QTENSOR_ARTIFACT_LIMIT is a number of bytes, not {chosen!r}")
    return int(chosen)


def read_container(path: str | os.PathLike[str], limit: int | None = None) -> Container:
    """Read and check an artifact of at most `limit` bytes (default: `size_limit`).

    Raises ArtifactError: it is none, is too large, damaged, or of another version.
    """
    content = read_file(path, size_limit() if limit is None else limit)
    try:
        return opened(content)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None


def read_file(path: str | os.PathLike[str], limit: int) -> bytes:
    """The bytes of a file, which is looked at before it is read. Raises ArtifactError: it is no plain file, or too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))  # a pipe would wait
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ArtifactError(f"{path} is no file, and so no artifact")
            if status.st_size > limit:
                raise ArtifactError(
                    f"{path} has {status.st_size:,} bytes; an artifact has at most {limit:,}, or what QTENSOR_ARTIFACT_LIMIT or "
                    "qtensor.load(..., size_limit=) allow"
                )
            return file.read(limit + 1)[:limit]  # it may grow meanwhile
    except (OSError, ValueError) as error:
        raise ArtifactError(f"{path} cannot be read: {error}") from error


def opened(content: bytes) -> Container:
    """The container that the bytes of a file are."""
    check_seal(content)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = checked_names(archive, len(content))
            if MANIFEST not in names:
                raise ArtifactError("there is no manifest in it")
            manifest = read_manifest(archive.read(MANIFEST))
            parts = {name: archive.read(name) for name in names if name != MANIFEST}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, struct.error, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise ArtifactError(f"damaged: {error}") from error
    check_parts(manifest, parts)
    return Container(manifest, parts, hashlib.sha256(content).hexdigest(), len(content))


def check_seal(content: bytes) -> None:
    """That the file ends in a comment with the digest of everything before: cut, changed and repacked files do not."""
    start = len(content) - len(SEAL) - 64 - _END.size
    if not content.startswith(b"PK") or start < 0:
        raise ArtifactError("this is no qtensor artifact, or it is cut short")
    signature, *_, length = _END.unpack_from(content, start)
    if signature != b"PK\x05\x06" or length != len(SEAL) + 64 or content[-64 - len(SEAL) : -64] != SEAL:
        raise ArtifactError("this is no qtensor artifact, or it is cut short, or another program has packed it anew")
    if hashlib.sha256(content[:-64]).hexdigest().encode() != content[-64:]:
        raise ArtifactError("damaged: its bytes do not have the digest that it states; export it again, or copy it again")


def checked_names(archive: zipfile.ZipFile, size: int) -> list[str]:
    """The names of the parts: plain, each once, not compressed, no longer than the file itself."""
    entries = archive.infolist()
    names = [entry.filename for entry in entries]
    if len(names) > _PARTS_LIMIT or len(set(names)) != len(names):
        raise ArtifactError("a name stands in it twice, or it has too many parts")
    for entry in entries:
        if not _NAME.fullmatch(entry.filename):
            raise ArtifactError(f"{entry.filename!r} is no name of a part")
        if entry.compress_type != zipfile.ZIP_STORED or entry.flag_bits & 1 or entry.file_size != entry.compress_size:
            raise ArtifactError(f"{entry.filename} is compressed or encrypted, which no part is")
    if sum(entry.file_size for entry in entries) > size:
        raise ArtifactError("its parts are longer than the file")
    return names


def read_manifest(text: bytes) -> Manifest:
    if len(text) > _MANIFEST_LIMIT:
        raise ArtifactError("its manifest is too long")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"its manifest cannot be read: {error}") from error
    version = content.get("format") if isinstance(content, dict) else None
    if version != FORMAT:
        raise ArtifactError(f"its format is number {version!r}; this version of qtensor reads number {FORMAT}: export it again")
    try:
        manifest: Manifest = from_json(Manifest, content)
    except (FormatError, RecursionError) as error:
        raise ArtifactError(f"its manifest cannot be read: {error}") from error
    return manifest


def check_parts(manifest: Manifest, parts: Mapping[str, bytes]) -> None:
    """That the parts are those of the manifest, byte by byte."""
    stated = {part.name: part for part in manifest.parts}
    if len(stated) != len(manifest.parts) or set(stated) != set(parts):
        raise ArtifactError("its parts are not those that its manifest lists")
    for name, content in parts.items():
        if part_of(name, content) != stated[name]:
            raise ArtifactError(f"damaged: {name} is not what the manifest says")
