"""From the sums of an ensemble to what a user of its library gets: probabilities, classes, counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.assembled import Held, Predictor, Taken, constant, model_of, number_of_greatest, then
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.trees.ensemble import Ensemble, check_ensemble
from qtensor.lowering.models.trees.program import margins

Link: TypeAlias = Callable[[jax.Array], jax.Array]


@dataclass(frozen=True)
class Objective:
    """What a model's sums mean.

    predicted: what the library predicts, of the sums [k, n]. classes: the labels of its classes, None of what predicts numbers.
    scores: the probabilities of the classes. number: the number of the class. by_class: whether it predicts classes.
    """

    predicted: Link
    classes: Any = None
    scores: Link | None = None
    number: Link | None = None
    by_class: bool = False


def predictor_of_trees(name: str, ensemble: Ensemble, objective: Objective, held: Held) -> Predictor:
    """The predictor that an ensemble is. It takes features of `ensemble.dtype`. Raises ModelError: the ensemble is damaged."""
    check_ensemble(name, ensemble)
    sums, work = margins(ensemble, held)
    return Predictor(
        predicted=None if objective.by_class else then(sums, objective.predicted),
        scores=objective.scores and then(sums, objective.scores),
        raw=sums,
        number=objective.number and then(sums, objective.number),
        classes=objective.classes,
        work=work,
    )


def model_of_trees(taken: Taken, ensemble: Ensemble, objective: Objective) -> Model:
    """The model that an ensemble is by itself."""
    held = Held()
    predictor = predictor_of_trees(taken.name, ensemble, objective, held)
    return model_of(taken, ensemble.names, ensemble.dtype, held, predictor)


def identity(sums: jax.Array) -> jax.Array:
    return sums


def sigmoid(factor: float = 1.0) -> Link:
    def link(sums: jax.Array) -> jax.Array:
        one = constant(1, sums)
        return one / (one + jnp.exp(-sums * constant(factor, sums)))

    return link


def softmax(sums: jax.Array) -> jax.Array:
    powers = jnp.exp(sums - jnp.max(sums, axis=0, keepdims=True))
    return powers / jnp.sum(powers, axis=0, keepdims=True)


def both(link: Link) -> Link:
    """The probabilities of both classes by a link that gives the second one's."""

    def scores(sums: jax.Array) -> jax.Array:
        second = link(sums)
        return jnp.concatenate([constant(1, second) - second, second])

    return scores


def above(bound: float, link: Link = identity) -> Link:
    """The number of one of two classes: the second where what `link` gives is above `bound`."""

    def number(sums: jax.Array) -> jax.Array:
        found = link(sums)
        return (found > constant(bound, found)).astype(jnp.int64)

    return number


def binary(link: Link, classes: Any, *, predicted: Link | None = None) -> Objective:
    """Two classes by the probability of the second."""
    labels = np.arange(2) if classes is None else classes
    return Objective(predicted or link, labels, both(link), above(0.5, link), classes is not None)


def multiclass(link: Link, groups: int, classes: Any, *, predicted: Link | None = None) -> Objective:
    labels = np.arange(groups) if classes is None else classes
    return Objective(predicted or link, labels, link, lambda sums: number_of_greatest(link(sums)), classes is not None)
