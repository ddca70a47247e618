"""Files that are written whole or not at all: under another name first, and then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of `path` when the block ends, and leaves it as it was when the block raises.

    A link is followed, and a file keeps its permissions. What is no regular file (a device, a named pipe) is written directly.

    Raises OSError: the folder or the file cannot be written.
    """
    if path.exists() and not path.is_file():
        with path.open("wb") as device:
            yield device
        return
    target = path.resolve()
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            yield file  # type: ignore[misc]  # NamedTemporaryFile's wrapper is a BinaryIO but by inheritance
            file.flush()
            temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~current_umask())
            temporary.replace(target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def current_umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
