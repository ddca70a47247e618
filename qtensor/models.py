"""What `create_function` registers: a user's model, how it is to be taken, and what is made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from numpy.typing import DTypeLike

from qtensor.bind.expressions.model_names import refuse_name
from qtensor.errors import ModelError
from qtensor.lowering.models.combined import combined
from qtensor.lowering.models.dependence import with_unread
from qtensor.lowering.models.kinds import imported_model
from qtensor.lowering.models.labels import labelled
from qtensor.lowering.models.model import Model, SeveralOutputs
from qtensor.lowering.models.nulls import with_defaults
from qtensor.types import Array


@dataclass(frozen=True, eq=False)
class Registration:
    """A user's model with the options of `Connection.create_function`. The object is kept, so that it can be taken once more."""

    name: str
    model: object
    arguments: int | None = None
    output: str | None = None
    inputs: Sequence[str] | Mapping[str, int] | None = None
    dtype: DTypeLike | None = None
    trust: bool = False
    classes: Sequence[str] | None = None
    null: object = None
    signature: str | None = None

    def imported(self) -> Model:
        """The model as it is now. Raises ModelError: it cannot be converted, or not be called by its name."""
        if self.arguments is not None and (type(self.arguments) is not int or self.arguments < 1):
            raise ModelError(f'model "{self.name}": arguments= is a number from 1 on, not {self.arguments!r}')
        if self.output is not None and not isinstance(self.output, str):
            raise ModelError(f'model "{self.name}": output= is a name, not {self.output!r}')
        if self.signature is not None and not isinstance(self.signature, str):
            raise ModelError(f'model "{self.name}": signature= is a name, not {self.signature!r}')
        model = self._labelled()
        if self.null is not None:
            model = with_defaults(model, self.null)
        refuse_name(self.name, len(model.arguments))
        return with_unread(model)

    def _labelled(self) -> Model:
        """The model, or several as one, with the names of its classes."""
        if isinstance(self.model, Mapping | list | tuple):
            named = self.model if isinstance(self.model, Mapping) else {str(n): one for n, one in enumerate(self.model, 1)}
            if not all(isinstance(name, str) and name for name in named):
                raise ModelError(f'model "{self.name}": the names of several models are texts')
            return combined(self.name, {name: replace(self, model=one)._labelled() for name, one in named.items()})
        model = self._taken(self.output)
        if self.classes is None:
            return model
        if model.outputs:
            raise ModelError(f'model "{self.name}": classes= are those of one output; choose it with output=')
        if isinstance(model.result, Array) and self.output is None:  # of scores that nobody asked for
            model = self._taken("class")
        return labelled(model, self.classes)

    def _taken(self, output: str | None) -> Model:
        """The model; with all of its outputs, if it has several and none is chosen."""
        chosen = partial(
            imported_model,
            self.name,
            self.model,
            arguments=self.arguments,
            inputs=self.inputs,
            dtype=self.dtype,
            trust=self.trust,
            signature=self.signature,
        )
        try:
            return chosen(output=output)
        except SeveralOutputs as several:
            if output is not None:
                raise
            return combined(self.name, {name: chosen(output=name) for name in several.names})
