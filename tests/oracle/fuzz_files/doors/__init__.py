"""The doors by which files come in, each a module; see the docstring of `tests.oracle.fuzz_files`."""

NAMES: tuple[str, ...] = (
    "qta", "saved_model", "keras_file", "h5_file", "frozen_graph", "tflite",
    "onnx", "xgboost", "lightgbm", "parquet", "arrow", "csv",
)  # fmt: skip
