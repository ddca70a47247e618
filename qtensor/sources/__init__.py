"""What can be registered as a table, and which source reads it.

arrow    Arrow tables, streams and datasets, polars DataFrames: memory that does not change
frames   pandas DataFrames and dicts of NumPy arrays: memory that its owner may change
files    paths of Parquet and CSV files
"""

from qtensor.sources.open import open_table

__all__ = ["open_table"]
