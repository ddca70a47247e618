"""Random choices, all of them from one seed."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


class Draw:
    """What a grammar asks for. Equal seeds draw equal queries. models: whether queries call models."""

    def __init__(self, seed: int | str) -> None:
        self.random = random.Random(seed)
        self.models = False

    def pick(self, *choices: T) -> T:
        return self.random.choice(choices)

    def either(self, *choices: Callable[[], T]) -> T:
        """What one of the functions gives; the others are not called."""
        return self.random.choice(choices)()

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def number(self, low: int, high: int) -> int:
        return self.random.randint(low, high)

    def some(self, choices: Sequence[T], low: int, high: int) -> list[T]:
        """From `low` to `high` of the choices, in any order."""
        return self.random.sample(list(choices), min(len(choices), self.number(low, high)))
