"""What can be registered as a table, and which source reads it.

open       what kind of object was registered
opened     tables kept for objects that nobody registered, known by held, weakly
arrow      Arrow tables and streams, polars DataFrames: memory that does not change
dataset    pyarrow Datasets
frames     pandas DataFrames and dicts of NumPy arrays: memory that its owner may change
files      which kind a path is
table      what every source can do (Source), and tables over them
facts      what a source says of a column without reading it
parts      how sources are cut into parts
parquet    a Parquet file (parquet_file), by what footer reads of it in Thrift's protocol (thrift)
parquet_files   Parquet files of folders, patterns and lists
csv_file   a CSV file: by csv_dialect (how it is written), csv_rows, csv_types and csv_dates
csv_parts  a CSV file that is read in parts: by csv_blocks (where rows end) and csv_typing (types over blocks)
ipc        a file or stream in Arrow's own format; ipc_messages tells where its record batches are
ipc_stream a stream in a file that is read in parts
pipe       what comes by a pipe
numbers    NumPy arrays as Arrow arrays, for frames
footer     a Parquet footer: what it says of columns, and a copy that calls decimals integers
signature  whether a file is still the one that was read
"""

from qtensor.sources.open import open_table
from qtensor.sources.opened import OpenedTables

__all__ = ["OpenedTables", "open_table"]
