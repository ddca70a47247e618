"""Files that are written whole or not at all: under another name first, and then renamed, also if the power fails meanwhile.

The other name says whose it is, and its writer holds a lock on it, so that the next write into the folder can tell what a killed
process left from what another one is writing.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_MARK = ".qtensor-unfinished-"
_A_MOMENT = 3600  # seconds: generous, since an empty file does no harm


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends, and leaves it as it was when the block raises.

    A link is followed, and a file keeps its permissions. What is no regular file (a device, a named pipe) is written directly.
    When the block has ended the file is on the disk, and so is its name. What killed writers left in the folder is removed.

    Raises OSError: the folder or the file cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    target = path.resolve()
    remove_unfinished(target.parent)
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name[:100]}{_MARK}", delete=False) as file:
        temporary = Path(file.name)
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield file  # type: ignore[misc]  # NamedTemporaryFile's wrapper is a BinaryIO but by inheritance
            file.flush()
            temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~current_umask())
            os.fsync(file.fileno())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    _synchronise(target.parent)


def remove_unfinished(folder: Path) -> None:
    """Remove the files that killed writers left in `folder`: those that nobody has locked.

    One that was made a moment ago, and is about to be locked, is left alone too.
    """
    with contextlib.suppress(OSError):
        for path in folder.glob(f".*{_MARK}*"):
            with contextlib.suppress(OSError), path.open("rb") as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
                status = os.fstat(file.fileno())
                if status.st_size or status.st_mtime < time.time() - _A_MOMENT:
                    path.unlink()


def _synchronise(folder: Path) -> None:
    """Have the names in `folder` written to the disk. File systems that cannot do that for folders are left to themselves."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def current_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
