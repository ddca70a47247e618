"""Files of models, looked at before anything reads them: plain files of a bounded size."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from qtensor.errors import ModelError

LARGEST_PART = 2 << 30  # bytes: protocol buffers have no more either


def read_plain_file(name: str, path: Path, most: int) -> bytes:
    """The bytes of a file of a model. Raises ModelError: it is no plain file (a pipe, a device), has more than `most` bytes."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))  # a pipe would wait
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f'model "{name}": "{path}" is no plain file')
            if status.st_size > most:
                raise ModelError(f'model "{name}": "{path}" has {status.st_size:,} bytes; at most {most:,} are read')
            return file.read(most)
    except OSError as error:
        raise ModelError(f'model "{name}": "{path}" cannot be read: {error}') from error
