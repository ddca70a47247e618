"""What of a model is differentiated: the weights that are floating-point variables, by names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from qtensor.lowering.models.model import Model
from qtensor.lowering.models.tensorflow.evaluate import GraphFunction
from qtensor.lowering.models.tensorflow.graph import Function, Graph, Operation, WeightLeaf


def named_weights(model: Model) -> dict[str, int]:
    """The names of a model's weights that are differentiated, with their numbers.

    Of TensorFlow and Keras these are the variables, by the operation that reads each, constants of the graph are not among them;
    of other models all arrays of floating-point numbers, by their number from 0 on.
    """
    numbers = [number for number, weight in enumerate(model.weights) if weight.dtype.kind == "f"]
    read = variables_of(model.apply.graph) if isinstance(model.apply, GraphFunction) else {}
    if not read:
        return {str(number): number for number in numbers}
    names = {number: read[number] for number in numbers if number in read}
    seen: Counter[str] = Counter()
    found: dict[str, int] = {}
    for number, name in names.items():
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name}_{seen[name]}"] = number
    return found


def variables_of(graph: Graph) -> dict[int, str]:
    """The weights of a graph that are variables, and what reads each: those that other steps read are constants."""
    found: dict[int, str] = {}
    passed_on: dict[int, int] = {}  # by the number of a step the weight that it gives as it is
    for number, step in enumerate(graph.steps):
        match step:
            case WeightLeaf(index):
                passed_on[number] = index
            case Operation(name=name, inputs=inputs, attributes=attributes):
                if step.op == "Identity" and inputs[0].step in passed_on:
                    weight = passed_on[number] = passed_on[inputs[0].step]
                    path, _, last = name.rpartition("/")
                    if last.startswith("ReadVariableOp"):
                        found[weight] = path.removesuffix("/Cast").removeprefix("StatefulPartitionedCall/") or name
                for _, value in attributes:
                    if isinstance(value, Function):  # the body of a loop, a branch
                        found |= variables_of(Graph(value.steps, value.outputs[0], graph.weights))
            case _:
                pass
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
