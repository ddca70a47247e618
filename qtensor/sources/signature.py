"""Whether a file is still the one that was read."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class FileSignature(NamedTuple):
    """What changes when a file is written or replaced."""

    inode: int
    size: int
    modified_nanoseconds: int


def file_signature(path: Path) -> FileSignature | None:
    """The signature of the file at `path`; None when there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return FileSignature(status.st_ino, status.st_size, status.st_mtime_ns)
