"""Operators that a cut graph has of its own (`text_cut`), and counts of classes: tables of integers, labels, crosses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.tensorflow.digits import fingerprint_of_digits
from qtensor.lowering.models.tensorflow.registry import Lowering, operator
from qtensor.lowering.models.tensorflow.shapes import expand, identity, reshape, squeeze
from qtensor.lowering.models.tensorflow.values import (
    COMPUTES_WITH_LABELS,
    Batched,
    Labels,
    Refusal,
    Rows,
    Static,
    Value,
    array_of,
    integer,
    pointwise,
    shape_value,
    wrapped,
)
from qtensor.lowering.models.text.hashes import mixed

# Operators that no model of TensorFlow's has: `text_cut` writes them.
HANDING_ON = ("Identity", "StopGradient", "Reshape", "ExpandDims", "Squeeze")  # what they are given, also labels
OF_CUT_GRAPHS = frozenset(
    (
        "BatchSizes",
        "CrossedHash",
        "FailsWhere",
        "HashedIntegers",
        "LabelGather",
        "LabelOf",
        "LabelSelect",
        "LookupIntegers",
        "LookupLabels",
        *(f"Label{op}" for op in HANDING_ON),
    )
)
MULTIPLIER = 0xC6A4A7935BD1E995  # of tsl's FingerprintCat64


# --- tables ---------------------------------------------------------------------------------------------------------------------


def place_in(items: Value, keys: Value) -> tuple[jax.Array, jax.Array]:
    """Where each integer would stand among ascending keys, and whether it does."""
    ascending = array_of(keys)
    array = array_of(items).astype(ascending.dtype)
    place = jnp.searchsorted(ascending, array).astype(np.int32)
    place = jnp.minimum(place, np.int32(ascending.shape[0] - 1))
    return place, ascending[place] == array


@operator("LookupIntegers")
def look_up_integers(items: Value, keys: Value, values: Value, default: Value) -> Value:
    place, found = place_in(items, keys)
    chosen = jnp.where(found, array_of(values)[place], array_of(default).astype(array_of(values).dtype))
    return wrapped(chosen, items, keys)


@operator("LookupLabels")
def look_up_labels(items: Value, keys: Value, labels: Value) -> Value:
    """labels: those of the keys, then the default."""
    if not isinstance(items, Batched):
        raise Refusal("its output is the same for all rows")
    place, found = place_in(items, keys)
    names = names_of(labels)
    return Labels(jnp.where(found, place, np.int32(len(names) - 1)), names, items.failed)


def names_of(labels: Value) -> tuple[str, ...]:
    assert isinstance(labels, Static)
    try:
        return tuple(label.decode() if isinstance(label, bytes) else str(label) for label in labels.array.reshape(-1))
    except UnicodeDecodeError:
        raise Refusal("a text that it gives is no UTF-8") from None


# --- labels ---------------------------------------------------------------------------------------------------------------------


def handing_on(function: Lowering) -> Lowering:
    """An operator on shapes of labels, as of their numbers."""

    def lower(x: Value, *others: Value, **attributes: Any) -> Value:
        assert isinstance(x, Labels)
        moved = function(Batched(x.array, failed=x.failed), *others, **attributes)
        assert isinstance(moved, Batched)
        return replace(x, array=moved.array)

    return lower


operator("LabelIdentity", "LabelStopGradient", ignored=["message"])(handing_on(identity))
operator("LabelReshape")(handing_on(reshape))
operator("LabelExpandDims")(handing_on(expand))
operator("LabelSqueeze", read=["squeeze_dims"])(handing_on(squeeze))


@operator("LabelOf")
def label_of(number: Value, labels: Value) -> Value:
    assert isinstance(number, Batched)
    return Labels(number.array, names_of(labels), number.failed)


@operator("LabelSelect")
def select_label(condition: Value, x: Value, y: Value) -> Value:
    """One of two texts, or of two sets of labels: the second one's numbers come behind the first one's."""
    if not isinstance(condition, Batched):
        raise Refusal("its output is the same for all rows")
    numbers: list[Value] = []
    names: list[tuple[str, ...]] = []
    for choice in (x, y):
        match choice:
            case Labels(array, known, _):
                numbers.append(Batched(array + np.int32(sum(map(len, names)))))
                names.append(known)
            case Static(array) if array.size == 1:
                numbers.append(Static(np.full(array.shape, sum(map(len, names)), np.int32)))
                names.append(names_of(choice))
            case _:
                raise Refusal("it chooses among several texts of a constant by their place")
    found = pointwise(jnp.where, replace(condition, failed=None), *numbers)
    masks = [value.failed for value in (condition, x, y) if isinstance(value, Batched | Labels) and value.failed is not None]
    failed = None
    for mask in masks:
        failed = mask if failed is None else failed | mask
    return Labels(array_of(found), names[0] + names[1], failed)


@operator("LabelGather", ignored=["validate_indices", "bad_indices_policy"], required={"batch_dims": (0,)})
def gather_label(labels: Value, index: Value, axis: Value | None = None) -> Value:
    """A text by its number; a number outside is an error in TensorFlow."""
    if not isinstance(labels, Static) or labels.array.ndim != 1 or (axis is not None and integer(axis, "the axis") != 0):
        raise Refusal("it takes a slice of a constant of more than one axis")
    if not isinstance(index, Batched):
        raise Refusal("its output is the same for all rows")
    count = labels.array.shape[0]
    outside = (index.array < 0) | (index.array >= count)
    failed = None if index.classes is not None and index.classes <= count else jnp.any(outside.reshape(-1, outside.shape[-1]), 0)
    place = jnp.clip(index.array, 0, count - 1).astype(np.int32)
    return Labels(place, names_of(labels), failed if index.failed is None or failed is None else failed | index.failed)


# --- counts, crosses, sizes -----------------------------------------------------------------------------------------------------


@operator("DenseBincount", read=["binary_output"])
def count_classes(x: Value, size: Value, weights: Value, *, binary_output: bool = False) -> Value:
    """Of each row, how often each of `size` integers is there; others count nowhere, negative ones are an error."""
    width = integer(size, "the number of bins")
    if not isinstance(x, Batched) or x.array.ndim != 2:
        raise Refusal("it counts over all rows")
    if not isinstance(weights, Static) or weights.array.size:
        raise Refusal("weights are not supported")
    dtype = weights.array.dtype
    bins = jnp.arange(width, dtype=x.array.dtype)[:, None]
    total = jnp.zeros((width, x.array.shape[-1]), dtype)
    for row in x.array:
        equal = row[None, :] == bins
        total = jnp.maximum(total, equal.astype(dtype)) if binary_output else total + equal.astype(dtype)
    return Batched(total, failed=jnp.any(x.array < 0, axis=0))


@operator("CrossedHash", read=["hash_key", "num_buckets"])
def crossed_hash(*columns: Value, hash_key: int, num_buckets: int) -> Value:
    """tf.sparse.cross_hashed of columns [batch, 1]: integers as they are, texts by their fingerprints."""
    factor = np.uint64(MULTIPLIER)
    if any(
        not isinstance(column, Batched) or column.array.shape[:-1] != (1,) or column.array.dtype.kind not in "iu"
        for column in columns
    ):
        raise Refusal("a column of a cross must be one integer or text a row")
    first = array_of(columns[0])
    total = jnp.full(first.shape, np.uint64(hash_key & (1 << 64) - 1))
    for column in columns:
        part = array_of(column).astype(np.int64).astype(np.uint64)
        total = (total ^ factor) ^ (mixed(part * factor) * factor)
        total = mixed(mixed(total * factor) * factor)
    buckets = num_buckets if num_buckets > 0 else np.iinfo(np.int64).max
    return Batched((total % np.uint64(buckets)).astype(np.int64))


@operator("HashedIntegers", read=["num_buckets"])
def hashed_integers(x: Value, *, num_buckets: int) -> Value:
    """The bucket of an integer's decimal digits by FarmHash's Fingerprint64: see `lowering/models/text/hashes.py`."""
    if isinstance(x, Labels):
        raise Refusal(COMPUTES_WITH_LABELS)
    return pointwise(lambda numbers: (fingerprint_of_digits(numbers) % np.uint64(num_buckets)).astype(np.int64), x)


@operator("FailsWhere")
def fails_where(x: Value, values: Value, forbidden: Value) -> Value:
    """`x`, and an error for rows in which a value is the forbidden one."""
    equal = pointwise(jnp.equal, values, forbidden)
    if not isinstance(x, Batched | Labels) or not isinstance(equal, Batched):
        raise Refusal("what it checks is the same for all rows")
    wrong = jnp.any(equal.array.reshape(-1, equal.array.shape[-1]), axis=0)
    return replace(x, failed=wrong if x.failed is None else x.failed | wrong)


@operator("BatchSizes", read=["sizes", "scalar"])
def batch_sizes(x: Value, *, sizes: tuple[int, ...], scalar: bool) -> Value:
    """A shape in which -1 is the number of rows."""
    rows = array_of(x).shape[-1]
    return shape_value([Rows(rows) if size == -1 else size for size in sizes], np.dtype(np.int32), scalar)
