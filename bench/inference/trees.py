"""The trees of the benchmark, fitted to something that they need to be large for, and their libraries' own ways to predict."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEATURES = 20
FITTED_TO = 20_000
LIBRARIES = {"xgboost": "XGBoost", "lightgbm": "LightGBM", "forest": "scikit-learn"}

Matrix = NDArray[np.float32]  # [rows, features]
Predict = Callable[[Matrix], NDArray[Any]]


@functools.cache  # to fit them takes longer than to measure them
def fitted(kind: str, count: int, size: int) -> tuple[Any, dict[str, Predict]]:
    """`count` trees: of XGBoost of depth `size`, of LightGBM of `size` leaves, or a forest of that depth (0: fully grown); and
    how their library predicts by them on all cores, each way under its name.
    """
    random = np.random.default_rng(1)
    x = random.normal(size=(FITTED_TO, FEATURES)).astype(np.float32)
    y = x[:, 0] * x[:, 1] + np.sin(3 * x[:, 2]) + x[:, 3] * (x[:, 4] > 0) + random.normal(size=len(x)) * 0.3
    match kind:
        case "xgboost":
            import xgboost

            model: Any = xgboost.XGBRegressor(n_estimators=count, max_depth=size).fit(x, y)
            booster = model.get_booster()
            return model, {"predict": model.predict, "inplace_predict": booster.inplace_predict}
        case "lightgbm":
            import lightgbm

            model = lightgbm.LGBMRegressor(n_estimators=count, num_leaves=size, verbose=-1).fit(x, y)
            return model, {"predict": model.booster_.predict}
        case _:
            from sklearn.ensemble import RandomForestRegressor

            model = RandomForestRegressor(count, max_depth=size or None, n_jobs=os.cpu_count(), random_state=0).fit(x, y)
            return model, {"predict": model.predict}
