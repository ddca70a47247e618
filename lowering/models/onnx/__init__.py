"""ONNX models: the only part of qtensor that imports onnx, and only when such a model is registered."""

from qtensor.lowering.models.onnx.importer import import_onnx, is_onnx

__all__ = ["import_onnx", "is_onnx"]
