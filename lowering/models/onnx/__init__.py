"""ONNX models: the only part of qtensor that imports onnx, and only when such a model is registered."""
