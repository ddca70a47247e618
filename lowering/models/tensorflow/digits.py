"""FarmHash's Fingerprint64 of the decimal digits of integers, in jax.numpy: what Keras's Hashing makes of numbers."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from qtensor.lowering.models.text.hashes import of_1_to_3, of_4_to_7, of_8_to_16, of_17_to_32

_POWERS = np.array([10**power for power in range(20)], np.uint64)
_MINUS, _ZERO = np.uint64(ord("-")), np.uint64(ord("0"))


class Digits:
    """The texts of integers [...] of any type but uint64: 1 to 20 bytes each."""

    def __init__(self, numbers: jax.Array) -> None:
        self.negative = numbers < 0
        wide = numbers.astype(np.int64).astype(np.uint64)
        self.magnitude = jnp.where(self.negative, ~wide + np.uint64(1), wide)
        digits = jnp.searchsorted(jnp.asarray(_POWERS), self.magnitude, side="right")
        self.length = jnp.maximum(digits, 1).astype(np.int32) + self.negative.astype(np.int32)

    def byte(self, place: jax.Array | int) -> jax.Array:
        power = jnp.clip(self.length - 1 - place, 0, len(_POWERS) - 1)
        digit = self.magnitude // jnp.asarray(_POWERS)[power] % np.uint64(10) + _ZERO
        return jnp.where(self.negative & (jnp.asarray(place) == 0), _MINUS, digit)

    def word(self, place: jax.Array | int, size: int = 8) -> jax.Array:
        total = self.byte(place)
        for offset in range(1, size):
            total = total | (self.byte(place + offset) << np.uint64(8 * offset))
        return total

    def half(self, place: jax.Array | int) -> jax.Array:
        return self.word(place, 4)


def fingerprint_of_digits(numbers: jax.Array) -> jax.Array:
    """uint64[...] of integers [...]."""
    digits = Digits(numbers)
    result: jax.Array = of_17_to_32(digits)
    for least, function in ((17, of_8_to_16), (8, of_4_to_7), (4, of_1_to_3)):
        result = jnp.where(digits.length < least, function(digits), result)
    return result
