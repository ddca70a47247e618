"""The doors by which files come in, each a module; see the docstring of `tests.oracle.fuzz_files`."""

NAMES: tuple[str, ...] = ("qta", "saved_model", "keras_file", "parquet", "arrow", "csv")
