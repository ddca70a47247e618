"""Calls of models for rows, their weights being what is differentiated, or their arguments."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.errors import UnsupportedError
from qtensor.expressions import Predict
from qtensor.lowering.gradients.given import Array, Failing, Given
from qtensor.lowering.gradients.rows import Mask, Number, both
from qtensor.lowering.gradients.scores import class_scores
from qtensor.lowering.models.model import TEXT, Model, ModelOutput
from qtensor.types import Array as ArrayType
from qtensor.types import Float


def output_of(model: Model, predict: Predict) -> ModelOutput:
    """The output that a call wants."""
    whole = ModelOutput("", model.result, 0, model.classes, model.labels)
    return next((one for one in model.outputs if one.name == predict.output), whole)


def predicted(given: Given, predict: Predict, arguments: list[Number], count: int) -> Number:
    """The scores of a model, [rows] or [scores, rows]."""
    model = given.models[predict.model]
    output = output_of(model, predict)
    columns, valid = model_columns(model, predict, arguments, count)
    weights = weights_of(given, model)
    prediction = model.apply(weights, columns)
    if prediction.failed is not None:
        wrong = prediction.failed if valid is None else prediction.failed & valid
        message = f'the model "{model.name}" has no result for a row: {model.fails}'
        given.failing.append(Failing(wrong.any(), message, predict.span))
    first = output.first if model.outputs else None
    match output.result:
        case ArrayType(length=length):
            return Number(jnp.stack([prediction.value(output.first + number) for number in range(length)]), valid)
        case Float():
            return Number(prediction.value(first), valid)
        case type:
            raise UnsupportedError(
                f'not differentiable: the model "{model.name}" gives a {type}, which is not chosen among scores',
                "",
                [predict.span] if predict.span else [],
            )


def class_probabilities(given: Given, predict: Predict, arguments: list[Number], count: int) -> tuple[list[Array], Mask | None]:
    """How probable each class of a model is, by a softmax of its scores over the temperature; float64 [rows] each.

    For rows with NULL arguments all are equally so.
    """
    model = given.models[predict.model]
    columns, valid = model_columns(model, predict, arguments, count)
    scores = None if model.outputs else class_scores(model, weights_of(given, model), columns)
    if scores is None or given.soft is None:
        raise UnsupportedError(
            f'not differentiable: the class that the model "{model.name}" gives is not the greatest of its scores',
            "",
            [predict.span] if predict.span else [],
        )
    logits = jnp.stack(scores).astype(np.float64)
    if valid is not None:
        logits = jnp.where(valid, logits, 0.0)
    probabilities = jax.nn.softmax(logits / given.soft, axis=0)
    return list(probabilities), valid


def weights_of(given: Given, model: Model) -> list[Array]:
    return list(given.weights[model.name]) if model.name in given.weights else [jnp.asarray(weight) for weight in model.weights]


def model_columns(model: Model, predict: Predict, arguments: list[Number], count: int) -> tuple[list[Array], Mask | None]:
    """The arguments of a call as the model takes them, and where none is NULL."""
    columns: list[Array] = []
    valid: Mask | None = None
    for dtype, argument in zip(model.arguments, arguments, strict=True):
        if dtype == TEXT:
            raise UnsupportedError(
                f'not supported yet: gradients through a call of the model "{model.name}", which takes texts',
                "",
                [predict.span] if predict.span else [],
            )
        if argument.present is not None:
            raise UnsupportedError("not differentiable: a model's argument that may be NULL by a softened condition")
        columns.append(jnp.broadcast_to(argument.data.astype(dtype), (count,)))
        valid = both(valid, argument.valid)
    return columns, valid
