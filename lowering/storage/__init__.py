"""Data at rest: the only place that turns Arrow into machine arrays, and machine arrays back into Arrow.

types    Arrow types and SQL types
layout   how the rows of a table are cut into shares and chunks
column   EncodedColumn and its Statistics
machine  one Arrow array as NumPy values, checked
encode   numbers, dates, booleans: Arrow → EncodedColumn
levels   what the codes of a text column tell about its strings
text     strings → EncodedColumn with a dictionary
decode   results → Arrow
"""

from qtensor.lowering.storage.column import EncodedColumn, Statistics, unique_together
from qtensor.lowering.storage.decode import ResultColumn, decode_column
from qtensor.lowering.storage.encode import ColumnEncoder, column_encoder, encode_column, for_each
from qtensor.lowering.storage.layout import CHUNK, Layout, layout_for
from qtensor.lowering.storage.levels import LEVELS, Level, serves, strongest
from qtensor.lowering.storage.text import strengthened
from qtensor.lowering.storage.types import arrow_type, sql_type

__all__ = [
    "CHUNK",
    "LEVELS",
    "ColumnEncoder",
    "EncodedColumn",
    "Layout",
    "Level",
    "ResultColumn",
    "Statistics",
    "arrow_type",
    "column_encoder",
    "decode_column",
    "encode_column",
    "for_each",
    "layout_for",
    "serves",
    "sql_type",
    "strengthened",
    "strongest",
    "unique_together",
]
