"""Keeps what libraries write to standard error, below Python's `sys.stderr`, off the screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def stderr_into(path: Path) -> Iterator[None]:
    """Let this process, and those it starts meanwhile for as long as they live, write standard error to a file."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with path.open("wb") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def import_tensorflow() -> None:
    """Import TensorFlow without its notes on drivers, which no setting stops."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with stderr_into(Path(os.devnull)):
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")  # it warns of tables of texts whenever a graph of them is frozen
