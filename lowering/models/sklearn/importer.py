"""scikit-learn's fitted estimators as models, pipelines with all their steps; what cannot be converted is named step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from qtensor.errors import ModelError
from qtensor.lowering.models.assembled import NOT_A_NUMBER, Predictor, Taken, model_of
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.sklearn import (
    categories,
    classes,
    composed,
    distances,
    features,
    forests,
    kernels,
    linear,
    scaling,
    words,
)
from qtensor.lowering.models.sklearn.builder import TRANSFORMERS, Builder, kind_of
from qtensor.lowering.models.sklearn.others import boosted_elsewhere, is_of_others

TABLES = (
    categories,
    classes,
    composed,
    distances,
    features,
    forests,
    kernels,
    linear,
    scaling,
    words,
)  # whose importing registers estimators


def import_sklearn(taken: Taken, model: Any) -> Model:
    """A fitted estimator or Pipeline. Features are DOUBLE, or texts where it takes such, one argument each, under the
    names they were fitted with; what takes a list of texts has one argument, "text".

    Raises ModelError: naming each step that is not fitted, of an unknown class, or uses what is not supported.
    """
    if isinstance(model, type):
        raise ModelError(f'model "{taken.name}": {model.__name__} is a class; pass a fitted estimator')
    builder = Builder(taken.name, others=lambda one: boosted_elsewhere if is_of_others(one) else None)
    of_one_text = words.takes_one_text(model)
    width = 1 if of_one_text else width_of(model)
    builder.sources = tuple(range(width or 1))
    is_predictor = hasattr(model, "predict") or kind_of(model) == "Pipeline"
    if not is_predictor and kind_of(model) in TRANSFORMERS:
        predictor = Predictor(predicted=builder.without_texts(builder.transformer(model, width or 1)).part)
    else:
        predictor = builder.predictor(model, width or 1)
    if builder.problems:
        raise ModelError(f'model "{taken.name}" cannot be converted: {"; ".join(builder.problems)}')
    if width is None:
        raise ModelError(f'model "{taken.name}": {type(model).__name__} does not tell how many features it takes')
    known = getattr(model, "feature_names_in_", None)
    if known is None and kind_of(model) == "Pipeline":
        known = getattr(model.steps[0][1], "feature_names_in_", None)
    names = [f"x{number}" for number in range(width)] if known is None else [str(one) for one in known]
    if of_one_text:
        names = ["text"]
    fails = f"{NOT_A_NUMBER}, or a text is no known category" if builder.texts.features else NOT_A_NUMBER
    return model_of(taken, names, np.float64, builder.held, predictor, texts=builder.texts, fails=fails)


def width_of(model: Any) -> int | None:
    """The number of features; None of what is not fitted."""
    if kind_of(model) == "IsotonicRegression":  # also takes a vector, which is all the same one feature
        return 1
    try:
        return int(model.n_features_in_)
    except (AttributeError, TypeError):
        return None
