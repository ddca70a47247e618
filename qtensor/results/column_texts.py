"""Columns of a result as texts: what lines of CSV and JSON are put together from.

Arrow makes texts of whole columns and Python does the rest. Arrow's functions for texts would be faster, but any call of them
with a Python value imports pandas where that is installed: 0.4 s, four times what writing 100,000 rows takes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TypeAlias

import pyarrow as pa

from qtensor.results.nested_texts import bytes_text, duration_text, is_nested, nested_json, nested_texts, zoned_text
from qtensor.types import DATE, TIMESTAMP
from qtensor.values.texts import format_value

Texts: TypeAlias = list[str | None]

_FAR = re.compile("<value out of range: (-?[0-9]+)>")  # what Arrow writes for days and microseconds beyond its years
_NEEDS_QUOTES = re.compile('[",\r\n]|^$')


def csv_lines(batch: pa.RecordBatch, delimiter: str = ",", null: str = "") -> list[str]:
    """The rows as lines of CSV without their ends: quoted only where needed, so that no text is taken for a NULL.

    >>> print(*csv_lines(pa.record_batch({"a": ["x, y", 'say "x"', None, ""], "b": [1.5, 2.0, None, -1e30]})), sep="\\n")
    "x, y",1.5
    "say ""x\"\"",2.0
    ,
    "",-1e+30
    """
    columns = [csv_fields(texts(column), delimiter, null) for column in batch.columns]
    if len(columns) == 1:  # an empty line would be no row
        return [field or '""' for field in columns[0]]
    return [delimiter.join(fields) for fields in zip(*columns, strict=True)]


def csv_fields(values: Sequence[str | None], delimiter: str = ",", null: str = "") -> list[str]:
    """The texts as CSV has them, NULL as `null`.

    >>> csv_fields(["a", "b,c", None])
    ['a', '"b,c"', '']
    """
    special = re.compile(f'["\r\n]|{re.escape(delimiter)}|^{re.escape(null)}$|^$') if delimiter + null != "," else _NEEDS_QUOTES
    return [null if text is None else csv_quoted(text) if special.search(text) else text for text in values]


def csv_quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def json_objects(batch: pa.RecordBatch, names: Sequence[str]) -> list[str]:
    """The rows as JSON objects. Decimals are numbers of all their digits; NaN and infinities, which JSON lacks, are strings.

    >>> json_objects(pa.record_batch({"a": [1.5, float("nan"), None], "b": ["x", 'a "b"', None]}), ["a", "b"])
    ['{"a":1.5,"b":"x"}', '{"a":"NaN","b":"a \\\\"b\\\\""}', '{"a":null,"b":null}']
    """
    keys = [json.dumps(name, ensure_ascii=False) for name in names]
    columns = [
        [f"{key}:null" if value is None else f"{key}:{value}" for value in json_values(column)]
        for key, column in zip(keys, batch.columns, strict=True)
    ]
    return [f"{{{','.join(members)}}}" for members in zip(*columns, strict=True)]


def is_bytes(type: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(type) or types.is_large_binary(type) or types.is_binary_view(type) or types.is_fixed_size_binary(type)
    )


def texts(column: pa.Array) -> Texts:
    """The values of a column as DuckDB writes them."""
    type = column.type
    if pa.types.is_dictionary(type):
        return texts(column.cast(type.value_type))
    if isinstance(type, pa.BaseExtensionType):
        return texts(column.storage)
    if is_nested(type):
        return nested_texts(column, texts)
    if pa.types.is_duration(type):
        return [None if count is None else duration_text(count, type.unit) for count in column.cast(pa.int64()).to_pylist()]
    if is_bytes(type):
        return [None if value is None else bytes_text(value) for value in column.to_pylist()]
    if pa.types.is_interval(type) or pa.types.is_union(type):
        return [None if value is None else str(value) for value in column.to_pylist()]
    written: Texts = column.cast(pa.string()).to_pylist()
    if pa.types.is_timestamp(type) and type.tz is not None:
        return [None if text is None else zoned_text(text) for text in written]
    if pa.types.is_time(type):
        return [text and (text.rstrip("0").removesuffix(".") if "." in text else text) for text in written]
    if pa.types.is_floating(type):  # 2.0, not 2: whoever reads it again finds a float
        return [f"{text}.0" if text is not None and text.lstrip("-").isdecimal() else text for text in written]
    if pa.types.is_date(type) or pa.types.is_timestamp(type):
        return [text if text is None else temporal_text(text, type) for text in written]
    if pa.types.is_decimal(type) and any(text is not None and "E" in text for text in written):
        return [None if value is None else f"{value:f}" for value in column.to_pylist()]
    return written


def temporal_text(text: str, type: pa.DataType) -> str:
    """Arrow's text of a date or timestamp as DuckDB's: no needless fraction, years before 1 as BC.

    Of what Arrow has no text for, beyond the year 32767, it names the number.

    >>> temporal_text("-0043-03-15 12:30:00.500000", pa.timestamp("us"))
    '0044-03-15 (BC) 12:30:00.5'
    >>> temporal_text("<value out of range: -2147483647>", pa.date32())
    '-infinity'
    """
    if text[0] == "<":
        return format_value(int(text.strip("<>").rpartition(" ")[2]), DATE if pa.types.is_date(type) else TIMESTAMP)
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    if text[0] != "-" and not text.startswith("0000"):
        return text
    year, rest = text[: text.index("-", 1)], text[text.index("-", 1) :]
    return f"{1 - int(year):04}{rest[:6]} (BC){rest[6:]}"


def json_values(column: pa.Array) -> Texts:
    type = column.type
    if pa.types.is_dictionary(type):
        return json_values(column.cast(type.value_type))
    if isinstance(type, pa.BaseExtensionType):
        return json_values(column.storage)
    if is_nested(type):
        return nested_json(column, json_values, texts)
    written = texts(column)
    if not (pa.types.is_boolean(type) or pa.types.is_integer(type) or pa.types.is_floating(type) or pa.types.is_decimal(type)):
        return [text if text is None else json.dumps(text, ensure_ascii=False) for text in written]
    if pa.types.is_floating(type):
        return [text if text is None or text[-1].isdecimal() else json_special(text) for text in written]
    return written


def json_special(text: str) -> str:
    """What stands for a number that JSON does not have."""
    return {"nan": '"NaN"', "-nan": '"NaN"', "inf": '"Infinity"', "-inf": '"-Infinity"'}[text]
