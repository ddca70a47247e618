"""The headline query, its data and its model; the TPC-H queries that must run as they are written."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from qtensor import datasets

HEADLINE = """
SELECT cluster,
       sum(CASE WHEN classification = 0 THEN 1 ELSE 0 END) AS class1,
       sum(CASE WHEN classification = 1 THEN 1 ELSE 0 END) AS class2,
       sum(CASE WHEN classification = 2 THEN 1 ELSE 0 END) AS class3,
       sum(CASE WHEN classification = 3 THEN 1 ELSE 0 END) AS class4
FROM (SELECT cluster, classifier(murder, assault, population, rape) AS classification FROM data)
GROUP BY cluster
ORDER BY cluster
"""

Q1 = """
select
    l_returnflag,
    l_linestatus,
    sum(l_quantity) as sum_qty,
    sum(l_extendedprice) as sum_base_price,
    sum(l_extendedprice * (1 - l_discount)) as sum_disc_price,
    sum(l_extendedprice * (1 - l_discount) * (1 + l_tax)) as sum_charge,
    avg(l_quantity) as avg_qty,
    avg(l_extendedprice) as avg_price,
    avg(l_discount) as avg_disc,
    count(*) as count_order
from
    lineitem
where
    l_shipdate <= date '1998-12-01' - interval '90' day
group by
    l_returnflag,
    l_linestatus
order by
    l_returnflag,
    l_linestatus
"""

Q6 = """
select
    sum(l_extendedprice * l_discount) as revenue
from
    lineitem
where
    l_shipdate >= date '1994-01-01'
    and l_shipdate < date '1994-01-01' + interval '1' year
    and l_discount between .06 - 0.01 and .06 + 0.01
    and l_quantity < 24
"""


@cache
def trained_classifier() -> Any:
    """Softmax regression on the fifty states, by TensorFlow."""
    from qtensor.datasets.training import train_softmax_regression

    features, labels = features_and_labels(50)
    return train_softmax_regression(features, labels, classes=4)


def features_and_labels(rows: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """The crime data as TensorFlow takes it: float32 [rows, 4], int32 [rows]."""
    data = datasets.crime(rows)
    features = np.column_stack([data[name].to_numpy() for name in ("murder", "assault", "population", "rape")])
    return features.astype(np.float32), data["cluster"].to_numpy()
