"""Columns of a result as texts, whole columns at a time: what CSV and JSON are put together from."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc


def csv_lines(batch: pa.RecordBatch) -> list[str]:
    """The rows as lines of CSV without their ends: quoted only where needed, NULL as nothing, an empty text as "".

    >>> print(*csv_lines(pa.record_batch({"a": ["x, y", 'say "x"', None, ""], "b": [1.5, 2.0, None, -1e30]})), sep="\\n")
    "x, y",1.5
    "say ""x\"\"",2.0
    ,
    "",-1e+30
    """
    columns = [pc.fill_null(_csv_field(column), "") for column in batch.columns]
    if len(columns) == 1:  # an empty line would be no row
        columns[0] = pc.if_else(pc.equal(columns[0], ""), '""', columns[0])
    lines: list[str] = pc.binary_join_element_wise(*columns, ",").to_pylist()
    return lines


def csv_header(names: list[str]) -> str:
    """The names as a line of CSV.

    >>> csv_header(["a", "b,c"])
    'a,"b,c"'
    """
    return ",".join(_csv_field(pa.array(names, pa.string())).to_pylist())


def json_objects(batch: pa.RecordBatch, names: list[str]) -> list[str]:
    """The rows as JSON objects. Decimals are numbers of all their digits; NaN and infinities, which JSON lacks, are strings.

    >>> json_objects(pa.record_batch({"a": [1.5, float("nan"), None], "b": ['say "a"', "x", None]}), ["a", "b"])
    ['{"a":1.5,"b":"say \\\\"a\\\\""}', '{"a":"NaN","b":"x"}', '{"a":null,"b":null}']
    """
    members = [
        pc.binary_join_element_wise(f"{json.dumps(name, ensure_ascii=False)}:", pc.fill_null(_json_value(column), "null"), "")
        for name, column in zip(names, batch.columns, strict=True)
    ]
    objects: list[str] = pc.binary_join_element_wise("{", pc.binary_join_element_wise(*members, ","), "}", "").to_pylist()
    return objects


def texts(column: pa.Array) -> pa.Array:
    """The values of a column as DuckDB writes them, NULL where they are NULL."""
    type = column.type
    if pa.types.is_dictionary(type):
        return texts(column.cast(type.value_type))
    if pa.types.is_fixed_size_list(type):
        return _lists(column, texts)
    if pa.types.is_decimal(type):
        return _decimals(column)
    written = column.cast(pa.string())
    if pa.types.is_floating(type):  # 2.0, not 2: whoever reads it again finds a float
        return pc.if_else(pc.match_substring_regex(written, r"^-?\d+$"), pc.binary_join_element_wise(written, ".0", ""), written)
    if pa.types.is_timestamp(type):
        return pc.replace_substring_regex(pc.replace_substring_regex(written, r"\.0+$", ""), r"(\.\d*[1-9])0+$", r"\1")
    return written


def _csv_field(column: pa.Array) -> pa.Array:
    field = texts(column)
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(field, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(field, '[",\r\n]|^$'), quoted, field)


def _json_value(column: pa.Array) -> pa.Array:
    type = column.type
    if pa.types.is_dictionary(type):
        return _json_value(column.cast(type.value_type))
    if pa.types.is_fixed_size_list(type):
        return _lists(column, _json_value)
    value = texts(column)
    if pa.types.is_floating(type):
        value = pc.replace_substring_regex(value, "^nan$", '"NaN"')
        return pc.replace_substring_regex(value, "^(-?)inf$", r'"\1Infinity"')
    if not (pa.types.is_string(type) or pa.types.is_temporal(type)):
        return value
    if pc.any(pc.match_substring_regex(value, r'[\x00-\x1f"\\]')).as_py():
        return pa.array(
            [None if text is None else json.dumps(text, ensure_ascii=False) for text in value.to_pylist()], pa.string()
        )
    return pc.binary_join_element_wise('"', value, '"', "")


def _lists(column: pa.Array, of_values: object) -> pa.Array:
    """Arrays in brackets; what `of_values` leaves NULL inside of one is null."""
    assert callable(of_values)
    length = column.type.list_size
    null = "null" if of_values is _json_value else "NULL"
    inner = iter(pc.fill_null(of_values(column.flatten()), null).to_pylist())  # those of NULL arrays are left out
    rows = [f"[{', '.join(next(inner) for _ in range(length))}]" if valid else None for valid in column.is_valid().to_pylist()]
    return pa.array(rows, pa.string())


def _decimals(column: pa.Array) -> pa.Array:
    """Without an exponent, which Arrow writes for small ones."""
    written = column.cast(pa.string())
    if not pc.any(pc.match_substring(written, "E")).as_py():
        return written
    return pa.array([None if value is None else f"{value:f}" for value in column.to_pylist()], pa.string())
