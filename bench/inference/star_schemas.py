"""Four workloads in the shape of IMBridge's: a fact table, tables that it is joined with, filters, a pipeline that predicts.

Data is generated, with as many features of each kind as the original has; queries are IMBridge's but for the names.
Source: Zhang et al., IMBridge: Impedance Mismatch Mitigation between Database Engine and Prediction Query Execution, SIGMOD
2025, section 6; Expedia, Flights, Hospital and Credit Card go back to Park et al., Raven, SIGMOD 2022.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from duckdb.func import ARROW

import qtensor
from bench.inference.rivals import DUCKDB, QTENSOR, arrow_function
from bench.timing import Contestant

FITTED_TO = 5_000
Random = np.random.Generator


@dataclass(frozen=True, eq=False)
class StarSchema:
    """numeric, categorical: the features, columns of one of the tables each. source: FROM and WHERE. key: what names a row."""

    name: str
    tables: dict[str, pa.Table]
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    source: str
    key: str

    @property
    def features(self) -> tuple[str, ...]:
        return self.numeric + self.categorical

    def queries(self) -> dict[str, str]:
        """The prediction of each row, as IMBridge asks for them, and how many rows have each."""
        call = f"predict({', '.join(self.features)})"
        return {
            "rows": f"SELECT {self.key}, {call} AS class {self.source}",
            "counts": f"SELECT class, count(*) AS n FROM (SELECT {call} AS class {self.source}) GROUP BY class ORDER BY class",
        }


def expedia(random: Random, rows: int) -> StarSchema:
    """Listings of hotels found by searches: 8 numbers and 20 categories in three tables."""
    hotels, searches = max(rows // 100, 10), max(rows // 25, 10)
    numeric = (
        "prop_location_score1",
        "prop_location_score2",
        "prop_log_historical_price",
        "price_usd",
        "orig_destination_distance",
    )
    of_search = ("srch_booking_window", "srch_length_of_stay", "srch_adults_count")
    of_hotel = ("prop_country_id", "prop_starrating", "prop_review_score", "prop_brand_bool")
    codes = tuple(
        f"{name}_{n}"
        for name, n in [("rate", 1), ("rate", 2), ("rate", 3), ("rate", 4), ("inv", 1), ("inv", 2), ("inv", 3), ("inv", 4)]
    )
    listed = {name: random.normal(2, 1.5, rows) for name in numeric} | {name: random.integers(0, 3, rows) for name in codes}
    searched = {name: random.integers(0, 60, searches) for name in of_search}
    search_codes = ("site_id", "visitor_country", "destination", "children", "rooms", "saturday", "random_bool", "month")
    searched |= {name: random.integers(0, 12, searches) for name in search_codes}
    tables = {
        "listings": {
            "listing_id": np.arange(rows),
            "prop_id": random.integers(0, hotels, rows),
            "srch_id": random.integers(0, searches, rows),
            **listed,
        },
        "hotels": {"prop_id": np.arange(hotels), "count_bookings": random.integers(0, 50, hotels)}
        | {name: random.integers(0, 20, hotels) for name in of_hotel},
        "searches": {"srch_id": np.arange(searches), **searched},
    }
    source = (
        "FROM listings JOIN hotels USING (prop_id) JOIN searches USING (srch_id) WHERE prop_location_score1 > 1 AND"
        " prop_location_score2 > 0.1 AND count_bookings > 5 AND srch_booking_window > 10 AND srch_length_of_stay > 1"
    )
    return StarSchema("expedia", arrow(tables), numeric + of_search, codes + of_hotel + search_codes, source, "listing_id")


def flights(random: Random, rows: int) -> StarSchema:
    """Routes of airlines between two airports: 4 numbers and 13 categories in four tables."""
    airlines, airports = max(rows // 500, 10), max(rows // 200, 10)
    names, places = ("name1", "name2", "name4", "acountry", "active"), ("city", "country", "timezone", "dst")

    def airport(prefix: str) -> dict[str, Any]:
        where = {
            f"{prefix}latitude": random.uniform(-60, 70, airports),
            f"{prefix}longitude": random.uniform(-180, 180, airports),
        }
        codes = {f"{prefix}{name}": random.integers(0, 24, airports) for name in places}
        return {f"{prefix}airportid": np.arange(airports), **where, **codes}

    ids = {"airlineid": airlines, "sairportid": airports, "dairportid": airports}
    tables = {
        "routes": {"route_id": np.arange(rows)} | {name: random.integers(0, count, rows) for name, count in ids.items()},
        "airlines": {"airlineid": np.arange(airlines)} | {name: random.integers(0, 4, airlines) for name in names},
        "sources": airport("s"),
        "destinations": airport("d"),
    }
    source = (
        "FROM routes JOIN airlines USING (airlineid) JOIN sources USING (sairportid) JOIN destinations USING (dairportid)"
        " WHERE name2 = 1 AND slatitude > 0 AND dlatitude > 0"
    )
    numeric = tuple(f"{end}{axis}" for end in "sd" for axis in ("latitude", "longitude"))
    return StarSchema(
        "flights", arrow(tables), numeric, names + tuple(f"{end}{one}" for end in "sd" for one in places), source, "route_id"
    )


def hospital(random: Random, rows: int) -> StarSchema:
    """Stays of patients: 9 numbers and 15 categories in one table."""
    numeric = ("hematocrit", "neutrophils", "sodium", "glucose", "bloodureanitro", "creatinine", "bmi", "pulse", "respiration")
    codes = (*(f"condition{number}" for number in range(13)), "rcount", "gender")
    columns = {name: random.normal(20, 8, rows) for name in numeric} | {name: random.integers(0, 2, rows) for name in codes}
    source = "FROM stays WHERE hematocrit > 10 AND neutrophils > 10 AND bloodureanitro > 20 AND pulse < 70"
    return StarSchema("hospital", arrow({"stays": {"eid": np.arange(rows), **columns}}), numeric, codes, source, "eid")


def credit_card(random: Random, rows: int) -> StarSchema:
    """Payments: 28 components and an amount in one table."""
    names = tuple(f"v{number}" for number in range(1, 29))
    columns = {name: random.normal(size=rows) for name in names} | {"amount": random.exponential(80, rows)}
    source = "FROM payments WHERE v1 > 1 AND v2 < 0.27 AND v3 > 0.3"
    return StarSchema(
        "credit-card", arrow({"payments": {"time": np.arange(rows), **columns}}), (*names, "amount"), (), source, "time"
    )


def arrow(tables: dict[str, dict[str, Any]]) -> dict[str, pa.Table]:
    return {name: pa.table(columns) for name, columns in tables.items()}


SCHEMAS: dict[str, Callable[[Random, int], StarSchema]] = {
    "expedia": expedia,
    "flights": flights,
    "hospital": hospital,
    "credit-card": credit_card,
}
# Which models IMBridge and Raven run over which of them.
PAIRS = (
    ("expedia", "tree"),
    ("expedia", "logistic"),
    ("flights", "forest"),
    ("flights", "logistic"),
    ("hospital", "mlp"),
    ("hospital", "boosted"),
    ("credit-card", "boosted"),
    ("credit-card", "logistic"),
)


def estimator(kind: str) -> Any:
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.tree import DecisionTreeClassifier

    match kind:
        case "tree":
            return DecisionTreeClassifier(max_depth=8, random_state=0)
        case "forest":
            return RandomForestClassifier(20, max_depth=8, random_state=0)
        case "boosted":
            return GradientBoostingClassifier(n_estimators=50, max_depth=4, random_state=0)
        case "mlp":
            return MLPClassifier((32, 16), max_iter=30, random_state=0)
        case _:
            return LogisticRegression(max_iter=300)


def pipeline(schema: StarSchema, kind: str) -> Any:
    """Numbers scaled, categories encoded as one of n, an estimator, fitted to classes that depend on both."""
    import warnings

    from sklearn.compose import ColumnTransformer
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    rows = joined(schema)
    x = rows[: max(len(rows), 1)]
    numeric, categorical = list(range(len(schema.numeric))), list(range(len(schema.numeric), len(schema.features)))
    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    parts = [("numbers", StandardScaler(), numeric)] + ([("codes", encoder, categorical)] if categorical else [])
    y = (x[:, 0] - x[:, 1] * (x[:, 2] > np.median(x[:, 2])) + x[:, -1] > np.median(x[:, 0] + x[:, -1])).astype(np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return make_pipeline(ColumnTransformer(parts), estimator(kind)).fit(x, y)


def joined(schema: StarSchema) -> Any:
    """The first rows that the pipeline is fitted to, float64[rows, features]."""
    with duckdb.connect() as connection:
        for name, table in schema.tables.items():
            connection.register(name, table)
        tables = schema.source.partition(" WHERE ")[0]
        query = f"SELECT {', '.join(schema.features)} {tables} ORDER BY {schema.key} LIMIT {FITTED_TO}"
        frame: pd.DataFrame = connection.sql(query).df()
        return frame.to_numpy(np.float64)


@contextmanager
def contestants(schema: StarSchema, model: Any, query: str, threads: int) -> Iterator[list[Contestant]]:
    """DuckDB with the pipeline's predict as an Arrow UDF, over tables of its own, and qtensor."""

    predict = arrow_function(lambda columns: model.predict(np.stack(columns, axis=-1, dtype=np.float64)), len(schema.features))
    with ExitStack() as cleanup:
        rival = duckdb.connect(config={"threads": threads})
        cleanup.callback(rival.close)
        ours = cleanup.enter_context(qtensor.connect())
        for name, table in schema.tables.items():
            rival.register("arrow", table)
            rival.execute(f"CREATE TABLE {name} AS SELECT * FROM arrow")
            rival.unregister("arrow")
            ours.register(name, table)
        rival.create_function("predict", predict, ["DOUBLE"] * len(schema.features), "BIGINT", type=ARROW)
        ours.create_function("predict", model)
        yield [Contestant(DUCKDB, lambda: rival.sql(query).to_arrow_table()), Contestant(QTENSOR, ours.sql(query).arrow)]
