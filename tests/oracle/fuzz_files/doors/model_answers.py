"""What doors of model files have in common: features for any model, and what SQL gives of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

WIDEST = 40
ROWS = 9


def features(width: int, *, gaps: bool = False) -> Any:
    """Small numbers of both signs, whole ones among them: float64 [ROWS, width]. gaps: with NaN."""
    import numpy as np

    found = ((np.arange(ROWS)[:, None] * 7 + np.arange(width) * 3) % 11 - 4.0) / np.where(np.arange(width) % 2, 1.0, 3.0)
    if gaps:
        found[::4] = np.nan
    return found


def answer_of(path: Path, *, gaps: bool = False) -> Any:
    """The scores that SQL gets of a model file over `features`, a float64 [rows, scores]; "wide" for one of too many arguments."""
    import numpy as np
    import pyarrow as pa

    import qtensor

    with qtensor.connect(threads=1) as connection:
        connection.create_function("m", path)
        model = connection._registry.models["m"]
        width = len(model.arguments)
        if width > WIDEST:
            return "wide"
        rows = features(width, gaps=gaps)
        columns = {f"c{n}": np.round(rows[:, n]) if model.arguments[n].kind in "iu" else rows[:, n] for n in range(width)}
        found = connection.register("t", pa.table(columns)).sql(f"SELECT m({', '.join(columns)}) AS y FROM t").fetchall()
    values = [list(row[0]) if isinstance(row[0], tuple | list) else [row[0]] for row in found]
    return np.asarray(values, np.float64).reshape(ROWS, -1)


def close(found: object, expected: object) -> bool:
    """Whether scores are the same but for rounding."""
    import numpy as np

    if isinstance(found, str):
        return True
    return bool(np.shape(found) == np.shape(expected) and np.allclose(found, expected, rtol=1e-3, atol=1e-4, equal_nan=True))
