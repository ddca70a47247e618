"""Hashes of many texts at once, bit by bit those of TensorFlow: FarmHash's Fingerprint64 and SipHash-2-4.

Sources: github.com/google/farmhash, `farmhashna::Hash64`; Aumasson and Bernstein, SipHash: a fast short-input PRF (2012).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Words: TypeAlias = NDArray[np.uint64]

K0, K1, K2 = np.uint64(0xC3A5C85C97CB3127), np.uint64(0xB492B66FBE98F273), np.uint64(0x9AE16A3B2F90404F)
_BLOCK = 64  # bytes that the loop over long texts takes at a time


class Readable(Protocol):
    """Texts whose bytes can be read as little-endian words: in NumPy, or in jax.numpy, for which these functions are the same."""

    @property
    def length(self) -> Any: ...

    def word(self, place: Any) -> Any: ...

    def half(self, place: Any) -> Any: ...

    def byte(self, place: Any) -> Any: ...


@dataclass(frozen=True)
class Bytes:
    """Texts in one buffer: `start` and `length` of each, in bytes. The buffer goes on for 8 bytes behind the last."""

    buffer: NDArray[np.uint8]
    start: NDArray[np.int64]
    length: NDArray[np.int64]

    def of(self, rows: NDArray[Any]) -> Bytes:
        return Bytes(self.buffer, self.start[rows], self.length[rows])

    def word(self, place: NDArray[np.int64] | int) -> Words:
        """The 8 bytes from `place` of each text on, little-endian."""
        everywhere: Words = np.ndarray((len(self.buffer) - 7,), "<u8", self.buffer, strides=(1,))
        found: Words = everywhere[self.start + place]
        return found

    def half(self, place: NDArray[np.int64] | int) -> Words:
        everywhere: NDArray[np.uint32] = np.ndarray((len(self.buffer) - 7,), "<u4", self.buffer, strides=(1,))
        found: Words = everywhere[self.start + place].astype(np.uint64)
        return found

    def byte(self, place: NDArray[np.int64] | int) -> Words:
        found: Words = self.buffer[self.start + place].astype(np.uint64)
        return found


def fingerprints(texts: Bytes) -> Words:
    """FarmHash's Fingerprint64 of each text."""
    result = np.full(len(texts.start), K2, np.uint64)
    with np.errstate(over="ignore"):
        for least, most, function in (
            (1, 3, of_1_to_3),
            (4, 7, of_4_to_7),
            (8, 16, of_8_to_16),
            (17, 32, of_17_to_32),
            (33, 64, _of_33_to_64),
            (65, np.iinfo(np.int64).max, _of_more),
        ):
            rows = np.flatnonzero((texts.length >= least) & (texts.length <= most))
            if len(rows):
                result[rows] = function(texts.of(rows))
    return result


def rotated(x: Any, right: int) -> Any:
    return (x >> np.uint64(right)) | (x << np.uint64(64 - right))


def mixed(x: Any) -> Any:
    return x ^ (x >> np.uint64(47))


def _of_16(u: Any, v: Any, factor: Any) -> Any:
    a = mixed((u ^ v) * factor)
    return mixed((v ^ a) * factor) * factor


def _factor(texts: Readable) -> Any:
    return K2 + texts.length.astype(np.uint64) * np.uint64(2)


def of_1_to_3(texts: Readable) -> Any:
    length = texts.length
    a, b, c = texts.byte(0), texts.byte(length >> 1), texts.byte(length - 1)
    y, z = a + (b << np.uint64(8)), length.astype(np.uint64) + (c << np.uint64(2))
    return mixed(y * K2 ^ z * K0) * K2


def of_4_to_7(texts: Readable) -> Any:
    first = texts.length.astype(np.uint64) + (texts.half(0) << np.uint64(3))
    return _of_16(first, texts.half(texts.length - 4), _factor(texts))


def of_8_to_16(texts: Readable) -> Any:
    factor = _factor(texts)
    a, b = texts.word(0) + K2, texts.word(texts.length - 8)
    return _of_16(rotated(b, 37) * factor + a, (rotated(a, 25) + b) * factor, factor)


def of_17_to_32(texts: Readable) -> Any:
    factor = _factor(texts)
    a, b = texts.word(0) * K1, texts.word(8)
    c, d = texts.word(texts.length - 8) * factor, texts.word(texts.length - 16) * K2
    return _of_16(rotated(a + b, 43) + rotated(c, 30) + d, a + rotated(b + K2, 18) + c, factor)


def _of_33_to_64(texts: Bytes) -> Words:
    factor, end = _factor(texts), texts.length
    a, b = texts.word(0) * K2, texts.word(8)
    c, d = texts.word(end - 8) * factor, texts.word(end - 16) * K2
    y = rotated(a + b, 43) + rotated(c, 30) + d
    z = _of_16(y, a + rotated(b + K2, 18) + c, factor)
    e, f = texts.word(16) * factor, texts.word(24)
    g, h = (y + texts.word(end - 32)) * factor, (z + texts.word(end - 24)) * factor
    found: Words = _of_16(rotated(e + f, 43) + rotated(g, 30) + h, e + rotated(f + a, 18) + g, factor)
    return found


@dataclass
class _State:
    """Of each text what the loop over blocks hands on."""

    x: Words
    y: Words
    z: Words
    v: tuple[Words, Words]
    w: tuple[Words, Words]

    def of(self, rows: NDArray[Any]) -> _State:
        x, y, z, (a, b), (c, d) = self.x[rows], self.y[rows], self.z[rows], self.v, self.w
        return _State(x, y, z, (a[rows], b[rows]), (c[rows], d[rows]))

    def put(self, rows: NDArray[Any], other: _State) -> None:
        pairs = ((self.x, other.x), (self.y, other.y), (self.z, other.z), *zip(self.v + self.w, other.v + other.w, strict=True))
        for mine, theirs in pairs:
            mine[rows] = theirs

    def step(self, texts: Bytes, place: NDArray[np.int64] | int, factor: Words | np.uint64, last: int = 1) -> _State:
        """The state after the block at `place`. last: 9 for the block that ends the text, whose values count so many times."""
        times = np.uint64(last)
        x = rotated(self.x + self.y + self.v[0] + texts.word(place + 8), 37) * factor
        y = rotated(self.y + self.v[1] + texts.word(place + 48), 42) * factor
        x = x ^ self.w[1] * times
        y = y + self.v[0] * times + texts.word(place + 40)
        z = rotated(self.z + self.w[0], 33) * factor
        v = _weak(texts, place, self.v[1] * factor, x + self.w[0])
        w = _weak(texts, place + 32, z + self.w[1], y + texts.word(place + 16))
        return _State(z, y, x, v, w)


def _weak(texts: Bytes, place: NDArray[np.int64] | int, a: Words, b: Words) -> tuple[Words, Words]:
    w, x, y, z = (texts.word(place + offset) for offset in (0, 8, 16, 24))
    a = a + w
    b = rotated(b + a + z, 21)
    c = a
    a = a + x + y
    return a + z, b + rotated(a, 44) + c


def _of_more(texts: Bytes) -> Words:
    rows = len(texts.start)
    zero = np.zeros(rows, np.uint64)
    seed = np.uint64(81)
    y = zero + (seed * K1 + np.uint64(113))
    state = _State(
        seed * K2 + texts.word(0),
        y,
        mixed(y * K2 + np.uint64(113)) * K2,
        (zero.copy(), zero.copy()),
        (zero.copy(), zero.copy()),
    )
    blocks = (texts.length - 1) // _BLOCK
    going = np.arange(rows)
    place = 0
    while len(going):
        state.put(going, state.of(going).step(texts.of(going), place, K1))
        place += _BLOCK
        going = going[blocks[going] * _BLOCK > place]
    rest = (texts.length - 1) & 63
    factor = K1 + ((state.z & np.uint64(0xFF)) << np.uint64(1))
    w = state.w[0] + rest.astype(np.uint64)
    v = state.v[0] + w
    state = _State(state.x, state.y, state.z, (v, state.v[1]), (w + v, state.w[1]))
    end = state.step(texts, blocks * _BLOCK + rest - 63, factor, last=9)
    # `step` swaps x and z, as the original does behind the loop's body.
    first = _of_16(end.v[0], end.w[0], factor) + mixed(end.y) * K0 + end.z
    found: Words = _of_16(first, _of_16(end.v[1], end.w[1], factor) + end.x, factor)
    return found


def keyed_hashes(texts: Bytes, key: tuple[int, int]) -> Words:
    """SipHash-2-4 of each text."""
    first, second = np.uint64(key[0]), np.uint64(key[1])
    rows = len(texts.start)
    start = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
    state = np.empty((4, rows), np.uint64)
    for number, (constant, part) in enumerate(zip(start, (first, second, first, second), strict=True)):
        state[number] = np.uint64(constant) ^ part
    words = texts.length // 8
    with np.errstate(over="ignore"):
        going = np.flatnonzero(words > 0)
        place = 0
        while len(going):
            state[:, going] = _absorbed(state[:, going], texts.of(going).word(8 * place))
            place += 1
            going = going[words[going] > place]
        # The last word: what is left, and the length in its highest byte.
        left = (texts.length & 7).astype(np.uint64)
        mask = (np.uint64(1) << (left * np.uint64(8))) - np.uint64(1)
        last = (texts.word(8 * words) & mask) | (texts.length.astype(np.uint64) << np.uint64(56))
        state = _absorbed(state, last)
        state[2] ^= np.uint64(0xFF)
        for _ in range(4):
            state = _round(state)
    result: Words = state[0] ^ state[1] ^ state[2] ^ state[3]
    return result


def _absorbed(state: NDArray[np.uint64], word: Words) -> NDArray[np.uint64]:
    state = state.copy()
    state[3] ^= word
    state = _round(_round(state))
    state[0] ^= word
    return state


def _round(state: NDArray[np.uint64]) -> NDArray[np.uint64]:
    a, b, c, d = state
    a = a + b
    b = rotated(b, 64 - 13) ^ a
    a = rotated(a, 32)
    c = c + d
    d = rotated(d, 64 - 16) ^ c
    a = a + d
    d = rotated(d, 64 - 21) ^ a
    c = c + b
    b = rotated(b, 64 - 17) ^ c
    c = rotated(c, 32)
    return np.stack([a, b, c, d])
