"""Several models of the same arguments as one: versions of a model, or outputs of one graph. All are computed in one pass.

Each is computed by itself, one after the other for the same rows; what they have in common, weights that are equal and what is
computed of them, XLA finds and computes once. Equal graphs mapped over their weights as one (`jax.vmap`) were no faster: 16
versions of 4-16-4 over 200,000 rows took 477 ms of CPU instead of 334, of 32-128-64-1 over 50,000 rows 775 instead of 690, of
4-4 56 instead of 66.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

import jax
import numpy as np
from numpy.typing import NDArray

from qtensor.errors import ModelError
from qtensor.lowering.models.model import Model, ModelOutput, Prediction
from qtensor.lowering.models.text.program import TextProgram
from qtensor.types import Array, Float, SqlType

_MOST_VALUES = 4_096

Places = tuple[tuple[int, ...], ...]


def combined(name: str, models: Mapping[str, Model]) -> Model:
    """One model whose outputs have the names that `models` have. A row for which one of them has no result has none at all.

    Raises ModelError: there is none, they take different arguments, or one has several outputs itself.
    """
    if not models:
        raise ModelError(f'model "{name}": there is no model')
    first_name, first = next(iter(models.items()))
    outputs: list[ModelOutput] = []
    values = 0
    for own, model in models.items():
        if (model.arguments, model.inputs, model.ordered) != (first.arguments, first.inputs, first.ordered):
            raise ModelError(f'model "{name}": "{own}" and "{first_name}" take different arguments')
        if model.outputs:
            raise ModelError(f'model "{name}": "{own}" has several outputs itself; choose one with output=')
        outputs.append(ModelOutput(own, model.result, values, model.classes, model.labels))
        values += model.result.length if isinstance(model.result, Array) else 1
    if values > _MOST_VALUES:
        raise ModelError(f'model "{name}": {values:,} values a row are too many: {_MOST_VALUES:,} are the most')
    members = tuple(models.values())
    weights, places = different_weights(members)
    texts = tuple(dict.fromkeys(program for model in members for program in model.texts))
    tables = tuple(tables_of(model, texts) for model in members)
    described = places, tables, [(model.digest, str(model.result)) for model in members]
    reasons = dict.fromkeys(model.fails for model in members if model.fails)
    return Model(
        name=name,
        digest=hashlib.sha256(str(described).encode()).hexdigest(),
        arguments=first.arguments,
        result=of_all([model.result for model in members]),
        weights=weights,
        apply=Beside(members, places, tables, len(weights)),
        inputs=first.inputs,
        ordered=first.ordered,
        fails=", or ".join(reasons) or None,
        work=sum(model.work for model in members),
        outputs=tuple(outputs),
        texts=texts,
    )


def tables_of(model: Model, texts: Sequence[TextProgram]) -> tuple[int, ...]:
    """Where the outputs of a model's text programs are among those of `texts`."""
    ends = list(accumulate((len(program.outputs) for program in texts), initial=0))
    found = [(ends[texts.index(program)], len(program.outputs)) for program in model.texts]
    return tuple(place for first, count in found for place in range(first, first + count))


def of_all(results: Sequence[SqlType]) -> SqlType:
    """The type of all outputs: an ARRAY of floats that are alike; of others that of the first, and no call asks for all."""
    first = results[0]
    if isinstance(first, Array):  # of one of them
        return first.element
    return Array(first, len(results)) if isinstance(first, Float) and set(results) == {first} else first


def different_weights(models: Sequence[Model]) -> tuple[tuple[NDArray[np.generic], ...], Places]:
    """The weights of all models, equal ones once, and for each model where its own are."""
    known: dict[tuple[str, tuple[int, ...], bytes], int] = {}
    weights: list[NDArray[np.generic]] = []
    places: list[tuple[int, ...]] = []
    for model in models:
        own = []
        for weight in model.weights:
            key = str(weight.dtype), weight.shape, hashlib.sha256(np.ascontiguousarray(weight).tobytes()).digest()
            if key not in known:
                known[key] = len(weights)
                weights.append(weight)
            own.append(known[key])
        places.append(tuple(own))
    return tuple(weights), tuple(places)


@dataclass(frozen=True, eq=False)
class Beside:
    """`Model.apply` of different graphs, one after the other. places: which of the `count` weights each has. tables: which of the
    tables behind the weights, that are made of texts.
    """

    models: Sequence[Model]
    places: Places
    tables: Places
    count: int

    def __call__(self, weights: Sequence[jax.Array], columns: Sequence[jax.Array]) -> Prediction:
        results: list[jax.Array] = []
        any_failed = None
        for model, places, tables in zip(self.models, self.places, self.tables, strict=True):
            own = [*places, *(self.count + table for table in tables)]
            found = model.apply([weights[place] for place in own], columns)
            results.append(found.value(None))
            if found.failed is not None:
                any_failed = found.failed if any_failed is None else any_failed | found.failed
        return Prediction(tuple(results), any_failed)
