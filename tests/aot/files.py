"""Artifacts taken apart and put together again: what somebody who can write files can do."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from qtensor.aot.artifact.container import MANIFEST, SEAL


def parts_of(path: Path) -> dict[str, bytes]:
    """The manifest and the parts by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def sealed(entries: Iterable[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A file of such entries with a valid seal."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", compression) as archive:
        for name, content in entries:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, compression)
        archive.comment = SEAL + b"0" * 64
    return sealed_again(memory.getvalue())


def sealed_again(content: bytes) -> bytes:
    """The same bytes with the seal that they should have."""
    return content[:-64] + hashlib.sha256(content[:-64]).hexdigest().encode()


def with_part(parts: dict[str, bytes], name: str, content: bytes) -> dict[str, bytes]:
    """The parts with another content of one, of which the manifest knows."""
    manifest = json.loads(parts[MANIFEST])
    for part in manifest["parts"]:
        if part["name"] == name:
            part["size"], part["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    return {**parts, name: content, MANIFEST: json.dumps(manifest).encode()}


def with_manifest(parts: dict[str, bytes], change: Callable[[Any], object]) -> dict[str, bytes]:
    """The parts with a manifest that `change` has changed in place."""
    manifest = json.loads(parts[MANIFEST])
    change(manifest)
    return {**parts, MANIFEST: json.dumps(manifest).encode()}
