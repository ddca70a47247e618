"""Models that take a NULL for something else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from qtensor.errors import ModelError, suggestion
from qtensor.lowering.models.model import TEXT, Model


def with_defaults(model: Model, null: object) -> Model:
    """The model that takes a NULL as `null`, a number or a text, for all arguments, or as a mapping has it for an input's name.

    "nan" is NaN; of a text it is the text "nan", unless the model knows texts that are missing.
    Raises ModelError: no number, one that an argument cannot hold, no such input.
    """
    names = [one.name for one in model.inputs]
    if isinstance(null, Mapping):
        for name in null:
            if name not in names or not name:
                hint = suggestion(str(name), names)
                raise ModelError(f'model "{model.name}": null= names "{name}", which is no input of it. {hint}'.rstrip())
        of_input = [null.get(one.name) for one in model.inputs]
    else:
        of_input = [null] * len(model.inputs)
    widths = [one.width for one in model.inputs]
    of_argument = [default for default, width in zip(of_input, widths, strict=True) for _ in range(width)]
    nulls = tuple(
        None if default is None else default_of(model, default, dtype)
        for default, dtype in zip(of_argument, model.arguments, strict=True)
    )
    return replace(model, nulls=nulls)


def default_of(model: Model, default: object, dtype: np.dtype) -> int | float | str:
    """What stands for NULL in an argument of type `dtype`."""
    name = model.name
    if dtype == TEXT:
        if model.missing is not None and (default != default or (isinstance(default, str) and default.lower() == "nan")):
            return model.missing
        if not isinstance(default, str):
            raise ModelError(f'model "{name}": null={default!r} is no text, which one of its arguments is; give each its own')
        return default
    if isinstance(default, str) and default.lower() == "nan":
        default = math.nan
    if isinstance(default, bool | np.bool_):
        default = int(default)
    if not isinstance(default, int | float | np.integer | np.floating):
        raise ModelError(f'model "{name}": null= is a number, "nan", or a mapping of these by inputs\' names, not {default!r}')
    number = default.item() if isinstance(default, np.generic) else default
    if dtype.kind == "f":
        return float(number)
    low, high = (0, 1) if dtype.kind == "b" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if not math.isfinite(number) or number != int(number) or not low <= number <= high:
        raise ModelError(f'model "{name}": null={default!r} is no value of its {dtype} argument')
    return int(number)
