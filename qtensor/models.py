"""What `create_function` registers: a user's model, how it is to be taken, and what is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from numpy.typing import DTypeLike

from qtensor.bind.expressions.model_names import refuse_name
from qtensor.errors import ModelError
from qtensor.lowering.models.jax_function import import_jax_function
from qtensor.lowering.models.model import Model
from qtensor.lowering.models.tensorflow import import_model, is_tensorflow_model


@dataclass(frozen=True, eq=False)
class Registration:
    """A user's model with the options of `Connection.create_function`. The object is kept, so that it can be taken once more."""

    name: str
    model: object
    arguments: int | None = None
    output: str | None = None
    inputs: Sequence[str] | None = None
    dtype: DTypeLike | None = None
    trust: bool = False
    signature: str | None = None

    def imported(self) -> Model:
        """The model as it is now. Raises ModelError: it cannot be converted, or not be called by its name."""
        if self.arguments is not None and (type(self.arguments) is not int or self.arguments < 1):
            raise ModelError(f'model "{self.name}": arguments= is a number from 1 on, not {self.arguments!r}')
        if self.output is not None and not isinstance(self.output, str):
            raise ModelError(f'model "{self.name}": output= is a name, not {self.output!r}')
        if self.signature is not None and not isinstance(self.signature, str):
            raise ModelError(f'model "{self.name}": signature= is a name, not {self.signature!r}')
        is_tensorflow = is_tensorflow_model(self.model)
        if self.signature is not None and not is_tensorflow:
            raise ModelError(f'model "{self.name}": signature= is for SavedModels, and this is none')
        of_files = partial(import_model, trust=self.trust, signature=self.signature)
        take = of_files if is_tensorflow else import_jax_function
        model = take(self.name, self.model, arguments=self.arguments, output=self.output, inputs=self.inputs, dtype=self.dtype)
        refuse_name(self.name, len(model.arguments))
        return model
