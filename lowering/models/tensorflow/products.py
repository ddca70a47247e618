"""Products of tensors: matrix products, stacks of them, and Einstein's summation; attention and dense layers over any axes."""

from __future__ import annotations

import string
from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax

from qtensor.lowering.models.tensorflow.dense import dense
from qtensor.lowering.models.tensorflow.registry import operator
from qtensor.lowering.models.tensorflow.values import (
    NOT_ROW_WISE,
    Batched,
    Refusal,
    Value,
    affordable,
    array_of,
    moved,
    numbers,
    tensor_rank,
)


@operator("MatMul", read=["transpose_a", "transpose_b"], ignored=["grad_a", "grad_b"])
def matrix_product(x: Value, y: Value, *, transpose_a: bool = False, transpose_b: bool = False) -> Value:
    """A product of two matrices; of rows of features with weights it is a dense layer."""
    if tensor_rank(x) != 2 or tensor_rank(y) != 2:
        raise Refusal("a matrix product of what are no matrices")
    if isinstance(x, Batched) and x.axis == int(transpose_a) and not isinstance(y, Batched):
        weight = array_of(y).T if transpose_b else array_of(y)
        if x.array.shape[0] != weight.shape[0]:
            raise Refusal(f"{x.array.shape[0]} features meet a weight matrix for {weight.shape[0]}")
        return moved(dense(x.array, weight, one_row=x.count == 1), 0, x, y)
    return contracted(["ba" if transpose_a else "ab", "cb" if transpose_b else "bc"], "ac", [x, y])


@operator("BatchMatMulV2", "BatchMatMul", "BatchMatMulV3", read=["adj_x", "adj_y"], ignored=["grad_x", "grad_y"])
def batch_matrix_product(x: Value, y: Value, *, adj_x: bool = False, adj_y: bool = False) -> Value:
    """Products of stacks of matrices, which broadcast."""
    left, right = tensor_rank(x) - 2, tensor_rank(y) - 2
    if left < 0 or right < 0:
        raise Refusal("a matrix product of what are no matrices")
    if isinstance(x, Batched) and left == right == 0 and not adj_x and x.axis == 0:
        return matrix_product(x, y, transpose_b=adj_y)
    stack = string.ascii_lowercase[3 : 3 + max(left, right)]
    labels = [
        stack[len(stack) - left :] + ("ba" if adj_x else "ab"),
        stack[len(stack) - right :] + ("cb" if adj_y else "bc"),
    ]
    return contracted(labels, f"{stack}ac", [x, y])


@operator("Einsum", read=["equation"], ignored=["N"])
def einstein_sum(*values: Value, equation: str) -> Value:
    """Einstein's summation; "..." stands for axes that broadcast."""
    given, arrow, result = equation.replace(" ", "").partition("->")
    labels = given.split(",")
    if not arrow or len(labels) != len(values):
        raise Refusal(f"the equation {equation!r} is not supported")
    free = [letter for letter in string.ascii_letters if letter not in equation]
    ranks = [tensor_rank(value) - len(term.replace("...", "")) for term, value in zip(labels, values, strict=True)]
    widest = max((rank for term, rank in zip(labels, ranks, strict=True) if "..." in term), default=0)
    broadcast = "".join(free[:widest])
    labels = [
        term.replace("...", broadcast[widest - rank :]) if rank >= 0 else term for term, rank in zip(labels, ranks, strict=True)
    ]
    return contracted(labels, result.replace("...", broadcast), list(values))


def contracted(labels: Sequence[str], result: str, values: Sequence[Value]) -> Value:
    """Einstein's summation of tensors whose axes are called `labels`, a letter each, to axes `result`.

    The axis with the batch must have one letter in all batched tensors, none in the others, and stay. An axis of size one
    broadcasts.
    """
    terms, arrays = [], []
    rows = {
        term[value.axis]
        for term, value in zip(labels, values, strict=True)
        if isinstance(value, Batched) and value.axis is not None
    }
    batch = rows.pop() if len(rows) == 1 else ""
    if rows or (batch and batch not in result):
        raise Refusal(f"{NOT_ROW_WISE} (rows meet other rows in a product)")
    names = "".join(labels)
    end = next(letter for letter in string.ascii_letters if letter not in names + result)  # the rows
    sizes: dict[str, int] = {}
    is_batched = any(isinstance(value, Batched) for value in values)
    for term, value in zip(labels, values, strict=True):
        if len(term) != tensor_rank(value):
            raise Refusal(f"a product over the axes {term!r} of a tensor of {tensor_rank(value)}")
        array = array_of(value)
        if isinstance(value, Batched):
            term = term.replace(batch, "") if batch else term
            if len(term) != array.ndim - 1:
                raise Refusal(f"{NOT_ROW_WISE} (rows meet other rows in a product)")
        elif batch and batch in term:
            place = term.index(batch)
            if array.shape[place] != 1:
                raise Refusal(f"{NOT_ROW_WISE} (a constant has {array.shape[place]} entries along the batch)")
            array, term = jnp.squeeze(array, place), term.replace(batch, "")
        for letter, size in zip(term, array.shape, strict=False):
            sizes[letter] = max(size, sizes.get(letter, 1))
        arrays.append(array)
        terms.append(term)
    for position, (term, array, value) in enumerate(zip(terms, arrays, values, strict=True)):
        for letter, size in zip(term, array.shape, strict=False):
            if size not in (1, sizes[letter]):
                raise Refusal(f"{size} entries meet {sizes[letter]} in a product")
        ones = tuple(place for place, letter in enumerate(term) if array.shape[place] == 1 != sizes[letter])
        arrays[position] = jnp.squeeze(array, ones)
        kept = "".join(letter for place, letter in enumerate(term) if place not in ones)
        terms[position] = kept + (end if isinstance(value, Batched) else "")
    wanted = result.replace(batch, "") if batch else result
    affordable([sizes[letter] for letter in wanted])
    if is_batched:
        wanted += end
    # Of one type, as TensorFlow's: no sum is wider than its factors.
    array = jnp.einsum(",".join(terms) + "->" + wanted, *arrays, precision=lax.Precision.HIGHEST)
    known = [numbers(value) for value in values]
    return moved(array.astype(arrays[0].dtype), result.index(batch) if batch else None, *known)
