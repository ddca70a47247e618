"""Libraries that a few results need and that are not always installed."""

from __future__ import annotations

from importlib.util import find_spec

from qtensor.errors import DataError


def needs(library: str, what: str) -> None:
    """Raise DataError if `library`, without which `what` cannot be, is not installed."""
    if find_spec(library) is None:
        raise DataError(
            f"{what} needs {library}, which is not installed: pip install {library}, or fetch by arrow() or fetchall()"
        )
