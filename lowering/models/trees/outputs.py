"""From the sums of an ensemble to what a user of its library gets: probabilities, classes, counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.assembled import (
    NOT_A_NUMBER,
    Held,
    Part,
    Predictor,
    Run,
    Taken,
    after,
    constant,
    model_of,
    number_of_greatest,
    then,
)
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.text_features import TextFeatures
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
    """The model that an ensemble is by itself. Features whose categories have names are texts."""
    held, texts = Held(), TextFeatures()
    predictor = predictor_of_trees(taken.name, ensemble, objective, held)
    if ensemble.labels:
        predictor = after(with_codes(ensemble, held, texts), predictor)
    fails = "a label is no category that the model knows" if ensemble.fails_of_unknown else NOT_A_NUMBER
    return model_of(taken, ensemble.names, ensemble.dtype, held, predictor, texts=texts, fails=fails)


def with_codes(ensemble: Ensemble, held: Held, texts: TextFeatures) -> Part:
    """Features of labels as those of the numbers of categories; NaN is missing, and so are labels that are none of them."""
    tables: dict[int, tuple[int, int]] = {}
    for feature, labels in ensemble.labels.items():
        if labels and isinstance(labels[0], str):
            texts.labelled(feature, tuple(map(str, labels)))
        else:
            order = np.argsort(np.asarray(labels, np.float64), kind="stable")
            tables[feature] = held(np.asarray(labels, ensemble.dtype)[order]), held(order, ensemble.dtype)

    def code(run: Run, feature: int, x: jax.Array) -> jax.Array:
        if feature not in tables:
            return jnp.where(x < 0, jnp.nan, x).astype(x.dtype)
        known, codes = (run[number] for number in tables[feature])
        if not known.shape[0]:
            return jnp.full_like(x, jnp.nan)
        place = jnp.minimum(jnp.searchsorted(known, x), known.shape[0] - 1)
        return jnp.where(known[place] == x, codes[place], jnp.nan).astype(x.dtype)

    def part(run: Run, x: jax.Array) -> jax.Array:
        rows = list(x)
        for feature in ensemble.labels:
            found = code(run, feature, x[feature])
            if ensemble.fails_of_unknown:
                run.fail(jnp.isnan(found) & ~jnp.isnan(x[feature]))
            rows[feature] = found
        return jnp.stack(rows)

    return part


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
