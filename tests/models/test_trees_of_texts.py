"""LightGBM's and XGBoost's models of pandas' columns of categories, which are texts in SQL, beside the libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm as lgb
import numpy as np
import pytest
import xgboost as xgb
from numpy.typing import NDArray

import qtensor
from qtensor.errors import ExecutionError, ModelError
from qtensor.lowering.models.kinds import imported_model

pd = pytest.importorskip("pandas")


def frame(rows: int, seed: int, *extra: str, third: str = "Österreich") -> Any:
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": random.normal(size=rows),
            "country": random.choice(["de", "fr", third, *extra], rows),
            "size": random.choice([10, 30, 20], rows),
            "kind": random.choice(["fr", "b"], rows),  # a text may have another number in another column
        }
    )


TRAIN = frame(500, 1)
Y = TRAIN["age"] + (TRAIN["country"] == "fr") * 2 - (TRAIN["size"] == 30) + (TRAIN["kind"] == "b")
CATEGORIES = TRAIN.astype({"country": "category", "size": "category", "kind": "category"})
TYPES = {name: CATEGORIES[name].dtype for name in ("country", "size", "kind")}
LIGHT: dict[str, Any] = {"n_estimators": 8, "verbose": -1, "min_child_samples": 5, "n_jobs": 1}


def gaps(rows: Any) -> Any:
    found = rows.copy()
    found.loc[::3, "country"] = None
    return found


def in_query(model: object, rows: Any) -> NDArray[Any]:
    with qtensor.connect() as connection:
        connection.register("t", rows)
        connection.create_function("m", model, null="nan")
        return np.array([row[0] for row in connection.sql("SELECT m(age, country, size, kind) FROM t").fetchall()])


def test_lightgbm(tmp_path: Path) -> None:
    """Labels that are unknown are missing, in files too; which columns were ordered categories is not known."""
    model = lgb.LGBMRegressor(**LIGHT).fit(CATEGORIES, Y)
    new = gaps(frame(200, 2, "zz"))
    with pytest.warns():
        expected = model.predict(new.astype(TYPES))
    model.booster_.save_model(tmp_path / "model.txt")
    for one in (model, tmp_path / "model.txt"):
        np.testing.assert_allclose(in_query(one, new), expected, rtol=1e-12)
    ordered = CATEGORIES.assign(kind=CATEGORIES["kind"].cat.as_ordered())
    with pytest.raises(ModelError, match="3 columns of categories, of which it tests 2"):
        imported_model("m", lgb.LGBMRegressor(**LIGHT).fit(ordered, Y))


def test_xgboost(tmp_path: Path) -> None:
    """A label that is unknown is an error, as XGBoost's. Those that are not ASCII it keeps cut off."""
    model = xgb.XGBRegressor(n_estimators=8, enable_categorical=True, max_depth=3, n_jobs=1)
    with pytest.raises(ModelError, match="letters beyond ASCII"):
        imported_model("m", model.fit(CATEGORIES, Y))
    train = frame(500, 1, third="at").astype({"country": "category", "size": "category", "kind": "category"})
    model.fit(train, Y)
    new = gaps(frame(200, 2, third="at"))
    expected = model.predict(new.astype({name: train[name].dtype for name in TYPES}))
    model.save_model(tmp_path / "model.ubj")
    for one in (model, tmp_path / "model.ubj"):
        np.testing.assert_allclose(in_query(one, new), expected, rtol=1e-6)
    with pytest.raises(ExecutionError, match="a label is no category that the model knows"):
        in_query(model, frame(50, 3, third="zz"))
