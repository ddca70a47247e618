"""scikit-learn's estimators: recognised by their classes, computed as their documentation says."""

from qtensor.lowering.models.sklearn.importer import import_sklearn, is_sklearn

__all__ = ["import_sklearn", "is_sklearn"]
