"""A catalog in memory: one table with a column of every type, a few small ones, and models."""

from __future__ import annotations

from collections.abc import Iterable

from qtensor import types as t
from qtensor.bind import ModelSignature
from qtensor.statement import View
from qtensor.types import Field, Schema, SqlType

EVERY_TYPE: dict[str, SqlType] = {
    "b": t.BOOLEAN,
    "i1": t.TINYINT,
    "i2": t.SMALLINT,
    "i4": t.INTEGER,
    "i8": t.BIGINT,
    "u1": t.UTINYINT,
    "u2": t.USMALLINT,
    "u4": t.UINTEGER,
    "u8": t.UBIGINT,
    "h": t.HUGEINT,
    "f4": t.FLOAT,
    "f8": t.DOUBLE,
    "d4": t.Decimal(4, 1),
    "d9": t.Decimal(9, 2),
    "d18": t.Decimal(18, 3),
    "d38": t.Decimal(38, 4),
    "dt": t.DATE,
    "ts": t.TIMESTAMP,
    "s": t.VARCHAR,
    "My Col": t.INTEGER,
}

TABLES: dict[str, Schema] = {
    "t": tuple(Field(name, sql_type) for name, sql_type in EVERY_TYPE.items()),
    "lineitem": (
        Field("l_orderkey", t.BIGINT),
        Field("l_quantity", t.Decimal(15, 2)),
        Field("l_extendedprice", t.Decimal(15, 2)),
        Field("l_discount", t.Decimal(15, 2)),
        Field("l_tax", t.Decimal(15, 2)),
        Field("l_returnflag", t.VARCHAR),
        Field("l_linestatus", t.VARCHAR),
        Field("l_shipdate", t.DATE),
    ),
    "data": (
        Field("cluster", t.INTEGER),
        Field("murder", t.DOUBLE),
        Field("assault", t.DOUBLE),
        Field("population", t.DOUBLE),
        Field("rape", t.DOUBLE),
    ),
    "folder/trips.parquet": (Field("Fare", t.DOUBLE),),
}

MODELS = {
    "classifier": ModelSignature("classifier", 4, t.BIGINT),
    "scores": ModelSignature("scores", 2, t.Array(t.FLOAT, 3)),
    "rank": ModelSignature("rank", 1, t.DOUBLE),
}

CREATE_EVERY_TYPE = "CREATE TABLE t (" + ", ".join(f'"{name}" {sql_type}' for name, sql_type in EVERY_TYPE.items()) + ")"


class MemoryCatalog:
    """The tables and models above."""

    def table(self, name: str) -> Schema | None:
        return TABLES.get(name.lower())

    def view(self, name: str) -> View | None:
        return None

    def table_names(self) -> Iterable[str]:
        return TABLES

    def model(self, name: str) -> ModelSignature | None:
        return MODELS.get(name.lower())

    def model_names(self) -> Iterable[str]:
        return MODELS
