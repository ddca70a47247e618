"""TensorFlow models as JAX functions: the only part of qtensor that imports TensorFlow, and only when a model is registered."""

from qtensor.lowering.models.tensorflow.importer import import_model
from qtensor.lowering.models.tensorflow.sources import is_tensorflow_model

__all__ = ["import_model", "is_tensorflow_model"]
