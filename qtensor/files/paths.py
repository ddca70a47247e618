"""What names of files look like: which of them are tables, and which of those in a query are meant to be files at all."""

from __future__ import annotations

import re
from pathlib import Path

CSV_SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
IPC_SUFFIXES = (".arrow", ".arrows", ".feather", ".ipc")
FILE_SUFFIXES = (".parquet", *CSV_SUFFIXES, *IPC_SUFFIXES)

NOT_REMOTE = (
    "only files of this machine are read: download it, or register what another library opens, "
    "such as pyarrow.dataset.dataset(...)"
)

_REMOTE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def is_remote(name: str) -> bool:
    """Whether `name` is an address, such as s3://bucket/file.parquet."""
    return _REMOTE.match(name) is not None


def is_pattern(name: str) -> bool:
    """Whether `name` stands for several files."""
    return any(character in name for character in "*?[")


def is_path(name: str) -> bool:
    """Whether a table's name in a query is meant to be that of a file or, with a slash in it, of a folder."""
    return name.lower().endswith(FILE_SUFFIXES) or "/" in name or "\\" in name


def is_there(name: str) -> bool:
    """Whether there is a file or folder `name`; none has a name that the system does not take."""
    try:
        return Path(name).expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False
