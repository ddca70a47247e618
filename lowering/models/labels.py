"""Models whose classes have names: their results are texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.errors import ModelError
from qtensor.lowering.models.model import Apply, Model, Prediction
from qtensor.types import BIGINT, VARCHAR, Boolean, Float, Integer


def labelled(model: Model, labels: Sequence[str]) -> Model:
    """The model whose classes, the integers from 0 on, are named `labels`: its result is VARCHAR. Another integer is an error.

    Raises ModelError: its result is no class, there are not as many labels as classes, or a label is no text that SQL can hold.
    """
    if isinstance(labels, str) or not labels or not all(is_unicode(label) for label in labels):
        raise ModelError(f'model "{model.name}": the labels of its classes must be texts, one for each class')
    if isinstance(model.result, Float):
        raise ModelError(
            f'model "{model.name}" gives one score and no class, which a label could be the name of; name the result in SQL: '
            f"CASE WHEN {model.name}(...) > 0.5 THEN '{labels[-1]}' ELSE '{labels[0]}' END"
        )
    if not isinstance(model.result, Integer | Boolean):
        raise ModelError(f'model "{model.name}" gives {model.result} and no class, which a label could be the name of')
    if model.classes is None:
        model = of_classes(model, len(labels))
    if len(labels) != model.classes:
        raise ModelError(f'model "{model.name}" has {model.classes:,} classes, and {len(labels):,} labels for them')
    return replace(model, result=VARCHAR, labels=tuple(labels))


def of_classes(model: Model, count: int) -> Model:
    """A model of integers or Booleans as one of `count` classes; what is none of these has no result."""
    if isinstance(model.result, Boolean):
        return replace(
            model, digest=f"{model.digest} as a class", result=BIGINT, apply=Classes(model.apply, 2, checked=False), classes=2
        )
    reasons = [*([model.fails] if model.fails else []), f"it gives a number that is none of its {count:,} classes"]
    return replace(
        model,
        digest=f"{model.digest} of {count} classes",
        apply=Classes(model.apply, count, checked=True),
        classes=count,
        fails=", or ".join(reasons),
    )


@dataclass(frozen=True, eq=False)
class Classes:
    """`Model.apply` whose result is a class. checked: whether the number may be none, for which the row fails."""

    apply: Apply
    count: int
    checked: bool

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        prediction = self.apply(weights, columns)
        result, failed = prediction.value(None), prediction.failed
        if not self.checked:
            return Prediction(result.astype(np.int64), failed)
        other = (result < 0) | (result >= self.count)
        return Prediction(jnp.where(other, 0, result), other if failed is None else failed | other)


def is_unicode(label: object) -> bool:
    """Whether a label is a text that can be written as UTF-8: one without lone surrogates."""
    try:
        return isinstance(label, str) and label.encode() is not None
    except UnicodeEncodeError:
        return False
