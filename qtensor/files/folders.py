"""Where qtensor keeps what it can make again: generated data sets and compiled programs."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """The folder of all caches: the environment variable QTENSOR_CACHE, else the user's cache folder of the operating system.

    It need not exist. Deleting it costs time, never data.
    """
    chosen = os.environ.get("QTENSOR_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("qtensor", appauthor=False)
