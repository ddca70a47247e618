"""The crime data: fifty US states in four k-means clusters, resampled to as many rows as one likes."""

from __future__ import annotations

import operator
from functools import cache
from importlib import resources
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from qtensor.errors import DataError

FEATURES = {"murder": "Murder", "assault": "Assault", "population": "UrbanPop", "rape": "Rape"}
CLUSTERS = 4
STARTS = 100  # about one random start in ten reaches the best clustering
JITTER = 0.1  # at most so far from the state it was drawn from, in standard deviations


class _States(NamedTuple):
    """The fifty states: features f64[50, 4], cluster i32[50], and how far each may be moved, radius f64[50]."""

    features: NDArray[np.float64]
    cluster: NDArray[np.int32]
    radius: NDArray[np.float64]


def crime(rows: int = 50, seed: int = 0) -> pa.Table:
    """Violent crime in US states, 1973, with the cluster that k-means (k = 4) puts each state in.

    With 50 rows these are the states themselves, in alphabetical order; with fewer, that many of them drawn by `seed`; with
    more, states drawn with replacement by `seed` and moved a little, so that rows differ. A moved row keeps the cluster of
    its state and stays well inside it: a linear classifier can tell the clusters apart without an error, at any size.

    Args:
        rows: how many, 0 or more.
        seed: 0 or more; the same rows and seed give the same table.

    Returns:
        cluster int32, 0 to 3 by growing mean of murder; float64 murder, assault and rape, arrests per 100,000 residents;
        float64 population, the percentage living in urban areas. No column holds a NULL.

    Raises:
        DataError: rows or seed is negative or not an integer.

    Source:
        McNeil, Interactive Data Analysis, 1977 (data/README.md).

    >>> crime(rows=3).to_pydict()["murder"]
    [6.0, 11.1, 3.8]
    """
    rows, seed = _natural(rows, "rows"), _natural(seed, "seed")
    states = _states()
    count = len(states.cluster)
    random = np.random.default_rng(seed)
    if rows <= count:
        drawn = np.sort(random.choice(count, rows, replace=False))
        values = states.features[drawn]
    else:
        drawn = random.integers(count, size=rows)
        values = _moved(states, drawn, random)
    columns = {name: pa.array(np.ascontiguousarray(column)) for name, column in zip(FEATURES, values.T, strict=True)}
    return pa.table({"cluster": pa.array(states.cluster[drawn]), **columns})


def _moved(states: _States, drawn: NDArray[np.int64], random: np.random.Generator) -> NDArray[np.float64]:
    """Rows `drawn`, each moved by less than its state's radius; f64[rows, 4]."""
    scale = states.features.std(axis=0)
    # A cube of half this side fits into the ball of the radius: sqrt(4 features) = 2.
    step = states.radius[:, None] / 2 * scale
    noise = random.random((len(drawn), len(FEATURES)))
    noise *= 2
    noise -= 1
    noise *= step[drawn]
    noise += states.features[drawn]
    return noise


@cache
def _states() -> _States:
    with resources.files("qtensor.datasets").joinpath("data/usarrests.csv").open("rb") as file:
        table = pyarrow.csv.read_csv(file)
    features = np.column_stack([table[name].to_numpy().astype(np.float64) for name in FEATURES.values()])
    standardised = (features - features.mean(axis=0)) / features.std(axis=0)
    centroids, cluster = _k_means(standardised)
    order = np.argsort([features[cluster == k, 0].mean() for k in range(CLUSTERS)])
    margin = _distance_to_border(standardised, centroids, cluster)
    return _States(features, np.argsort(order)[cluster].astype(np.int32), np.minimum(margin / 4, JITTER))


def _k_means(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Centroids f64[k, 4] and cluster [n] with the least sum of squared distances over many random starts."""
    from scipy.cluster.vq import ClusterError, kmeans2  # here, because importing it takes longer than all the rest

    def inertia(found: tuple[NDArray[np.float64], NDArray[np.intp]]) -> float:
        return float(((points - found[0][found[1]]) ** 2).sum())

    random = np.random.default_rng(0)
    found = []
    for _ in range(STARTS):
        start = points[random.choice(len(points), CLUSTERS, replace=False)]
        try:
            found.append(kmeans2(points, start, minit="matrix", iter=50, missing="raise"))
        except ClusterError:  # a cluster lost all its points: a bad start
            continue
    best: tuple[NDArray[np.float64], NDArray[np.intp]] = min(found, key=inertia)
    return best


def _distance_to_border(
    points: NDArray[np.float64], centroids: NDArray[np.float64], cluster: NDArray[np.intp]
) -> NDArray[np.float64]:
    """How far each point is from the nearest plane halfway between its centroid and another; f64[n]."""
    squared = ((points[:, None] - centroids) ** 2).sum(axis=-1)
    between = np.sqrt(((centroids[cluster][:, None] - centroids) ** 2).sum(axis=-1))
    own = np.take_along_axis(squared, cluster[:, None], axis=1)
    with np.errstate(invalid="ignore"):  # 0 / 0 towards the own centroid
        distance = (squared - own) / (2 * between)
    margin: NDArray[np.float64] = np.nanmin(distance, axis=1)
    return margin


def _natural(value: int, name: str) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise DataError(f"{name} must be an integer, not {value!r}") from None
    if number < 0:
        raise DataError(f"{name} must not be negative, it is {number}")
    return number
