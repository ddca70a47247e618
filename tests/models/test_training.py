"""The crime example's classifier, trained and brought into SQL's world."""

from __future__ import annotations

import csv
from importlib import resources
from typing import Any

import numpy as np
import pytest
from scipy.cluster.vq import kmeans2

from qtensor.datasets.training import train_softmax_regression
from qtensor.lowering.models.tensorflow import import_model
from qtensor.types import BIGINT, Array, Float
from tests.models.oracle import assert_scores_equal, run


def crime_like(rows: int) -> tuple[Any, Any]:
    """The 50 states labelled by k-means, and jittered copies of them."""
    with resources.files("qtensor.datasets").joinpath("data/usarrests.csv").open() as file:
        states = np.array([[float(cell) for cell in line[-4:]] for line in list(csv.reader(file))[1:]])
    standardised = (states - states.mean(0)) / states.std(0)
    _, labels = kmeans2(standardised, 4, minit="++", rng=np.random.default_rng(0))
    random = np.random.default_rng(1)
    pick = np.concatenate([np.arange(50), random.integers(0, 50, rows - 50)])
    jitter = random.normal(size=(rows, 4)) * states.std(0) * 0.02
    jitter[:50] = 0
    return (states[pick] + jitter).astype(np.float32), labels[pick]


@pytest.mark.parametrize("rows", [50, 200, 2_000])
def test_every_row_is_classified_right(rows: int) -> None:
    features, labels = crime_like(rows)
    trained = train_softmax_regression(features, labels, 4)
    np.testing.assert_array_equal(trained(features).numpy(), labels)
    model = import_model("classifier", trained)
    assert model.result == BIGINT
    np.testing.assert_array_equal(run(model, *features.T), labels)


def test_scores_and_determinism() -> None:
    features, labels = crime_like(200)
    first, second = (train_softmax_regression(features, labels, 4) for _ in range(2))
    np.testing.assert_array_equal(first.weights.numpy(), second.weights.numpy())
    model = import_model("scores", first.scores)
    assert model.result == Array(Float(32), 4)
    assert_scores_equal(run(model, *features.T), first.scores(features).numpy())


def test_labels_that_no_line_separates_still_give_a_model() -> None:
    features = np.array([[0.0], [1.0], [2.0], [3.0]])
    trained = train_softmax_regression(features, [0, 1, 0, 1], 2, steps=50)
    assert set(trained(features.astype(np.float32)).numpy()) <= {0, 1}


def test_data_that_does_not_fit() -> None:
    with pytest.raises(ValueError, match="expected features"):
        train_softmax_regression(np.zeros((3, 2)), [0, 1], 2)
    with pytest.raises(ValueError, match="labels must lie in"):
        train_softmax_regression(np.zeros((2, 2)), [0, 2], 2)
