"""The crime data against the published table, and its labels against an independent nearest-centroid classifier."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import qtensor.datasets
from qtensor.errors import DataError

FEATURES = ["murder", "assault", "population", "rape"]
SOURCE = Path(qtensor.datasets.__file__).parent / "data" / "usarrests.csv"


def features(table: pa.Table) -> np.ndarray:
    return np.column_stack([table[name].to_numpy() for name in FEATURES])


def nearest_centroid(table: pa.Table) -> np.ndarray:
    """The cluster whose mean over the fifty states is nearest, in standard deviations of the fifty states."""
    states = qtensor.datasets.crime()
    scale = features(states).std(axis=0)
    labels = states["cluster"].to_numpy()
    means = np.stack([features(states)[labels == k].mean(axis=0) for k in range(4)])
    distance = np.linalg.norm((features(table)[:, None] - means) / scale, axis=-1)
    return distance.argmin(axis=1)


def test_fifty_rows_are_the_states_in_order():
    with SOURCE.open() as file:
        published = [[float(row[name]) for name in ("Murder", "Assault", "UrbanPop", "Rape")] for row in csv.DictReader(file)]
    assert features(qtensor.datasets.crime()).tolist() == published
    assert published[0] == [13.2, 236, 58, 21.2]  # Alabama


def test_schema():
    expected = pa.schema([("cluster", pa.int32()), *((name, pa.float64()) for name in FEATURES)])
    for rows in (0, 3, 50, 51):
        assert qtensor.datasets.crime(rows).schema == expected


def test_clusters_are_the_known_optimum():
    """R's kmeans(scale(USArrests), 4, nstart = 25) finds clusters of 8, 13, 13 and 16 states, within-sum of squares 56.40."""
    table = qtensor.datasets.crime()
    labels, values = table["cluster"].to_numpy(), features(table)
    standardised = (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)
    within = sum(((standardised[labels == k] - standardised[labels == k].mean(axis=0)) ** 2).sum() for k in range(4))
    assert sorted(np.bincount(labels)) == [8, 13, 13, 16]
    assert within == pytest.approx(56.40, abs=0.005)


def test_clusters_are_numbered_by_murder():
    table = qtensor.datasets.crime()
    means = [table["murder"].to_numpy()[table["cluster"].to_numpy() == k].mean() for k in range(4)]
    assert means == sorted(means)


@pytest.mark.parametrize("rows", [50, 200, 2_000, 200_000])
def test_labels_are_linearly_separable(rows):
    """Nearest centroid is linear in the features up to a term common to all classes, so softmax regression can match it."""
    table = qtensor.datasets.crime(rows, seed=1)
    assert (nearest_centroid(table) == table["cluster"].to_numpy()).all()


def test_resampled_rows_differ_and_stay_near_a_state():
    table = qtensor.datasets.crime(2_000)
    values, states = features(table), features(qtensor.datasets.crime())
    assert len(np.unique(values, axis=0)) == 2_000
    distance = np.abs((values[:, None] - states) / states.std(axis=0)).max(axis=-1)
    assert distance.min(axis=1).max() <= 0.05 + 1e-12
    assert values.min() > 0
    assert set(distance.argmin(axis=1)) == set(range(50))


def test_few_rows_are_states_drawn_without_replacement():
    states = [tuple(row) for row in features(qtensor.datasets.crime())]
    drawn = [tuple(row) for row in features(qtensor.datasets.crime(20, seed=5))]
    assert len(set(drawn)) == 20
    assert set(drawn) <= set(states)


@pytest.mark.parametrize("rows", [10, 100])
def test_seed_decides(rows):
    assert qtensor.datasets.crime(rows, seed=3).equals(qtensor.datasets.crime(rows, seed=3))
    assert not qtensor.datasets.crime(rows, seed=3).equals(qtensor.datasets.crime(rows, seed=4))


def test_no_rows():
    assert qtensor.datasets.crime(0).num_rows == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": -1}, "rows must not be negative, it is -1"),
        ({"rows": 2.5}, "rows must be an integer, not 2.5"),
        ({"rows": "50"}, "rows must be an integer, not '50'"),
        ({"seed": -7}, "seed must not be negative, it is -7"),
        ({"seed": None}, "seed must be an integer, not None"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(DataError) as raised:
        qtensor.datasets.crime(**arguments)
    assert str(raised.value) == message
