"""Which artifacts' native code may run: those whose digest the user's own trust store holds.

An executable inside a file is code that does whatever its author wanted. The store is a folder of the user's that holds an
empty file for each digest: written by an export on this machine and by `qtensor trust FILE`.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import platformdirs

from qtensor.errors import ArtifactError

_DIGEST = re.compile(r"[0-9a-f]{64}")


def trust_folder() -> Path:
    """Where digests are kept: the environment variable QTENSOR_TRUST, else in the user's data folder."""
    chosen = os.environ.get("QTENSOR_TRUST")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_data_path("qtensor", appauthor=False) / "trusted"


def is_trusted(digest: str) -> bool:
    """Whether the file of this SHA-256 (hexadecimal) is trusted. A store that others can write to trusts nothing."""
    folder = trust_folder()
    try:
        return is_private(folder) and _DIGEST.fullmatch(digest) is not None and (folder / digest).exists()
    except OSError:
        return False


def is_private(folder: Path) -> bool:
    """Whether a folder is the user's and nobody else can write to it. Raises OSError: it cannot be looked at."""
    status = folder.stat()
    return not hasattr(os, "getuid") or (status.st_uid == os.getuid() and not status.st_mode & 0o022)


def add_trust(digest: str) -> None:
    """Trust the file of this digest. Raises ArtifactError: the store cannot be written, or others can write to it."""
    folder = trust_folder()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not is_private(folder):
            raise ArtifactError(f"the trust store {folder} trusts nothing, since others can write to it: chmod go-w {folder}")
        (folder / checked(digest)).touch(mode=0o600)
    except OSError as error:
        raise ArtifactError(f"the trust store {folder} cannot be written: {error}") from error


def remove_trust(digest: str) -> bool:
    """Trust the file of this digest no longer. Returns whether it was trusted."""
    try:
        (trust_folder() / checked(digest)).unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ArtifactError(f"the trust store {trust_folder()} cannot be written: {error}") from error
    return True


def trusted_digests() -> list[str]:
    """All trusted digests."""
    try:
        return sorted(path.name for path in trust_folder().iterdir() if _DIGEST.fullmatch(path.name))
    except OSError:
        return []


def checked(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise ArtifactError(f"{digest!r} is no SHA-256 digest of 64 hexadecimal digits")
    return digest
