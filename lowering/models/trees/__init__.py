"""Ensembles of decision trees: read from what XGBoost and LightGBM write, computed level by level or as bits."""

from qtensor.lowering.models.trees.lightgbm import import_lightgbm, is_lightgbm, read_lightgbm
from qtensor.lowering.models.trees.xgboost import import_xgboost, is_xgboost, read_xgboost

__all__ = ["import_lightgbm", "import_xgboost", "is_lightgbm", "is_xgboost", "read_lightgbm", "read_xgboost"]
