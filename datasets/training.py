"""Train the crime example's classifier as the original work did: softmax regression, by TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from qtensor.lowering.models.tensorflow.sources import load_tensorflow


def train_softmax_regression(features: ArrayLike, labels: ArrayLike, classes: int, *, steps: int = 2_000) -> Any:
    """A tf.Module whose `__call__(float32 [batch, k])` returns the class int64 [batch], and `scores` the probabilities.

    features: float [n, k], without NaN; labels: integers [n] in 0..classes-1. The features are standardised inside the
    model by their mean and standard deviation here. The loss, the mean cross entropy of all rows, is convex; L-BFGS
    follows TensorFlow's gradients of it from zero, at most `steps` steps, until every row is classified right (or the loss ends
    to fall: labels that no linear boundary separates stay partly wrong). No randomness: the same data gives the same model.
    Raises ValueError for arrays that do not fit each other.
    """
    rows, targets = np.asarray(features, np.float64), np.asarray(labels)
    if rows.ndim != 2 or targets.shape != rows.shape[:1] or not len(rows):
        raise ValueError(f"expected features [n, k] and labels [n] with n ≥ 1, got {rows.shape} and {targets.shape}")
    if targets.min() < 0 or targets.max() >= classes:
        raise ValueError(f"labels must lie in 0..{classes - 1}, found {targets.min()}..{targets.max()}")
    tf = load_tensorflow()
    mean, deviation = rows.mean(0), rows.std(0)
    deviation[deviation == 0] = 1.0
    weights, bias = fitted(tf, (rows - mean) / deviation, targets.astype(np.int64), classes, steps)
    return softmax_regression(tf, mean, deviation, weights, bias)


def fitted(
    tf: Any, rows: NDArray[np.float64], targets: NDArray[np.int64], classes: int, steps: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights [k, classes] and bias [classes] that minimise the cross entropy over standardised rows."""
    width = rows.shape[1]

    @tf.function(input_signature=[tf.TensorSpec([(width + 1) * classes], tf.float64)])  # type: ignore[untyped-decorator]
    def loss_and_gradient(parameters: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            matrix = tf.reshape(parameters, [width + 1, classes])
            logits = tf.matmul(rows, matrix[:width]) + matrix[width]
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
            loss = tf.reduce_mean(losses)
        return loss, tape.gradient(loss, parameters)

    def objective(parameters: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        loss, gradient = loss_and_gradient(tf.constant(parameters))
        return float(loss), gradient.numpy()

    def stop_when_right(parameters: NDArray[np.float64]) -> None:
        # A margin of one logit, not a bare win: the model computes in float32.
        matrix = parameters.reshape(width + 1, classes)
        logits = rows @ matrix[:width] + matrix[width]
        own = np.take_along_axis(logits, targets[:, None], 1)
        others = np.where(np.arange(classes) == targets[:, None], -np.inf, logits)
        if np.all(own[:, 0] > others.max(1) + 1.0):
            raise StopIteration

    start = np.zeros((width + 1) * classes)
    options = {"maxiter": steps, "gtol": 1e-12, "ftol": 1e-15}
    found = minimize(objective, start, jac=True, method="L-BFGS-B", callback=stop_when_right, options=options)
    matrix = found.x.reshape(width + 1, classes)
    return matrix[:width], matrix[width]


def softmax_regression(
    tf: Any, mean: NDArray[np.float64], deviation: NDArray[np.float64], weights: NDArray[np.float64], bias: NDArray[np.float64]
) -> Any:
    """The trained network as a tf.Module; the class is defined here so that TensorFlow is imported only when one is made."""
    signature = [tf.TensorSpec([None, len(mean)], tf.float32, name="features")]

    class SoftmaxRegression(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(name="softmax_regression")
            self.mean = tf.constant(mean, tf.float32)
            self.deviation = tf.constant(deviation, tf.float32)
            self.weights = tf.Variable(weights.astype(np.float32), name="weights")
            self.bias = tf.Variable(bias.astype(np.float32), name="bias")

        @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
        def scores(self, features: Any) -> Any:
            standardised = (features - self.mean) / self.deviation
            return tf.nn.softmax(tf.matmul(standardised, self.weights) + self.bias)

        @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
        def __call__(self, features: Any) -> Any:
            return tf.argmax(self.scores(features), axis=1)

    return SoftmaxRegression()
