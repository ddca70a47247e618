"""XGBoost's and LightGBM's estimators as steps of scikit-learn's."""

from __future__ import annotations

from typing import Any

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import Part, Predictor, Run
from qtensor.lowering.models.sklearn.builder import Array, Builder, NotConvertedError
from qtensor.lowering.models.trees.lightgbm import ensemble_of_lightgbm, is_lightgbm
from qtensor.lowering.models.trees.outputs import predictor_of_trees
from qtensor.lowering.models.trees.xgboost import ensemble_of_xgboost, is_xgboost


def boosted_elsewhere(builder: Builder, estimator: Any, width: int) -> Predictor:
    """The predictor of an estimator of another library, of float64 features."""
    read = ensemble_of_xgboost if is_xgboost(estimator) else ensemble_of_lightgbm
    try:
        ensemble, objective = read(builder.name, estimator)
        if ensemble.labels:
            raise NotConvertedError("was trained on columns of categories, and not on numbers")
        found = predictor_of_trees(builder.name, ensemble, objective, builder.held)
    except ModelError as error:
        raise NotConvertedError(f"cannot be converted: {error}") from error

    def converted(part: Part | None) -> Part | None:
        if part is None:
            return None

        def of_doubles(run: Run, x: Array) -> Array:
            return part(run, x.astype(ensemble.dtype))

        return of_doubles

    parts = {key: converted(getattr(found, key)) for key in ("predicted", "scores", "raw", "number")}
    return Predictor(**parts, classes=found.classes, work=found.work)


def is_of_others(estimator: object) -> bool:
    return is_xgboost(estimator) or is_lightgbm(estimator)
