"""What of a model is differentiated: the weights that are floating-point variables, by names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from qtensor.lowering.models.model import Model
from qtensor.lowering.models.tensorflow.evaluate import GraphFunction
from qtensor.lowering.models.tensorflow.graph import WeightLeaf, all_steps


def named_weights(model: Model) -> dict[str, int]:
    """The names of a model's weights that are differentiated, with their numbers.

    Of TensorFlow and Keras these are the variables of floating-point numbers, under their names, constants of the graph are not
    among them; of other models all arrays of such numbers, by their number from 0 on.
    """
    numbers = [number for number, weight in enumerate(model.weights) if weight.dtype.kind == "f"]
    steps = all_steps(model.apply.graph.steps) if isinstance(model.apply, GraphFunction) else ()
    variables = {step.index: step.variable for step in steps if isinstance(step, WeightLeaf) and step.variable}
    if not variables:
        return {str(number): number for number in numbers}
    seen: Counter[str] = Counter()
    found: dict[str, int] = {}
    for number in numbers:
        if number in variables:
            name = variables[number]
            seen[name] += 1
            found[name if seen[name] == 1 else f"{name}_{seen[name]}"] = number
    return found


def with_weights(model: Model, weights: Mapping[str, Any]) -> list[np.ndarray[Any, Any]]:
    """All weights of a model, some of them by name in the place of its own.

    Raises KeyError: a name that it does not have; ValueError: an array of another shape.
    """
    numbers, found = named_weights(model), list(model.weights)
    for name, weight in weights.items():
        number = numbers[name]
        array = np.asarray(weight).astype(found[number].dtype)
        if array.shape != found[number].shape:
            raise ValueError(f"{name} has the shape {list(found[number].shape)}, not {list(array.shape)}")
        found[number] = array
    return found
