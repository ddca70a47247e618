"""Arrays of texts: bytes as TensorFlow has them, in Arrow's buffers, and functions of many at once.

A text is any bytes. They stand in arrays of large_string, whether or not they are UTF-8 (a slice by bytes may end within a
character): Arrow's kernels of ASCII and of regular expressions take bytes as they are.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from qtensor.lowering.models.text.hashes import Bytes
from qtensor.lowering.models.text.program import Unit

Texts: TypeAlias = pa.Array  # large_string without NULL
Lists: TypeAlias = tuple[Any, NDArray[np.int64]]  # values of all lists one behind the other, and how many each has

_REPLACEMENT = "\ufffd"
_INTEGER = re.compile(rb"[ \t\n\v\f\r]*([+-]?[0-9]+)[ \t\n\v\f\r]*")
_WORD = re.compile(r"\w+")
_DECIMAL = rb"(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?"
_HEXADECIMAL = rb"0x(?:[0-9a-f]+\.?[0-9a-f]*|\.[0-9a-f]+)(?:p[+-]?[0-9]+)?"
_FLOAT = re.compile(rb"[ \t\n\v\f\r]*([+-]?(?:%b|%b|inf|infinity|nan))[ \t\n\v\f\r]*" % (_HEXADECIMAL, _DECIMAL), re.I)


def of_bytes(texts: Iterable[bytes]) -> Texts:
    binary = pa.array(texts, pa.large_binary())
    return pa.Array.from_buffers(pa.large_string(), len(binary), binary.buffers(), 0, binary.offset)


def as_bytes(texts: Texts) -> list[bytes]:
    binary = pa.Array.from_buffers(pa.large_binary(), len(texts), [None, *texts.buffers()[1:]], 0, texts.offset)
    found: list[bytes] = binary.to_pylist()
    return found


def buffer_of(texts: Texts) -> Bytes:
    """The bytes of all texts, with 8 more behind the last, so that words can be read from any place."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1] if len(texts) else np.zeros(1, np.int64)
    first, last = int(ends[0]), int(ends[-1])
    content = np.zeros(last - first + 8, np.uint8)
    if data is not None:
        content[: last - first] = np.frombuffer(data, np.uint8)[first:last]
    return Bytes(content, ends[:-1] - first, np.diff(ends))


def mapped(texts: Texts, function: Callable[[bytes], bytes]) -> Texts:
    return of_bytes([function(text) for text in as_bytes(texts)])


def changed_case(texts: Texts, *, upper: bool, unicode: bool) -> Texts:
    if not unicode:
        return pc.ascii_upper(texts) if upper else pc.ascii_lower(texts)
    change: Callable[[str], str] = str.upper if upper else str.lower
    # TensorFlow hands a text to ICU as C has it: it ends at a zero.
    return mapped(texts, lambda text: change(text.partition(b"\0")[0].decode("utf-8", "replace")).encode())


def length(texts: Texts, unit: Unit) -> NDArray[np.int32]:
    lengths = pc.binary_length(texts) if unit == "BYTE" else pc.utf8_length(texts)
    found: NDArray[np.int32] = lengths.to_numpy(zero_copy_only=False).astype(np.int32)
    return found


def sliced(texts: Texts, start: NDArray[Any], count: NDArray[Any], unit: Unit) -> tuple[Texts, NDArray[np.bool_]]:
    """tf.strings.substr, and where it raises: `start` lies beyond either end."""
    rows = len(texts)
    starts, counts = (np.broadcast_to(part, (rows,)).tolist() for part in (start, count))
    result: list[bytes] = []
    outside = np.zeros(rows, np.bool_)
    for row, (text, first, most) in enumerate(zip(as_bytes(texts), starts, counts, strict=True)):
        places = None if unit == "BYTE" else [*starts_of_characters(text), len(text)]
        size = len(text) if places is None else len(places) - 1
        first = first + size if first < 0 else first
        if not 0 <= first <= size or most < 0:
            outside[row] = True
            result.append(b"")
            continue
        last = min(size, first + most)
        result.append(text[first:last] if places is None else text[places[first] : places[last]])
    return of_bytes(result), outside


def starts_of_characters(text: bytes) -> list[int]:
    """Where characters begin, as TensorFlow counts: at each byte that does not go on with one."""
    return [place for place, byte in enumerate(text) if place == 0 or byte & 0xC0 != 0x80]


def split(texts: Texts, separator: str, most: int) -> Lists:
    """tf.strings.split: as Python's, but that after `most` splits at white space what is left is a part, also if it is empty."""
    if most <= 0 or most >= 1 << 31:
        if most == 0:
            return texts, np.ones(len(texts), np.int64)
        if separator:
            parts = pc.split_pattern(texts, separator)
            return parts.flatten(), lengths_of(parts)
        trimmed = pc.ascii_trim_whitespace(texts)
        parts = pc.ascii_split_whitespace(trimmed)
        counts = lengths_of(parts)
        # An empty text is a list of one empty part to Arrow.
        empty = pc.binary_length(trimmed).to_numpy(zero_copy_only=False) == 0
        return parts.flatten().filter(pa.array(~np.repeat(empty, counts))), np.where(empty, 0, counts)
    found = [split_most(text, separator.encode(), most) for text in as_bytes(texts)]
    return of_bytes(part for parts in found for part in parts), np.array([len(parts) for parts in found], np.int64)


def split_most(text: bytes, separator: bytes, most: int) -> list[bytes]:
    if separator:
        return text.split(separator, most)
    parts: list[bytes] = []
    rest = text.lstrip(b" \t\n\v\f\r")
    while rest and len(parts) < most:
        token = rest.split(None, 1)[0]
        parts.append(token)
        rest = rest[len(token) :].lstrip(b" \t\n\v\f\r")
    return [*parts, rest] if len(parts) == most else parts


def lengths_of(lists: pa.Array) -> NDArray[np.int64]:
    found: NDArray[np.int64] = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return found


def code_points(texts: Texts, replacement: int | None) -> Lists:
    """The characters of each text; what is no UTF-8 is `replacement`, or left out."""
    strings: list[str] = []
    for text in as_bytes(texts):
        try:
            strings.append(text.decode())
        except UnicodeDecodeError:
            known = text.decode("utf-8", "ignore" if replacement is None else "replace")
            strings.append(known if replacement is None else known.replace(_REPLACEMENT, chr(replacement)))
    counts = np.array([len(string) for string in strings], np.int64)
    return np.frombuffer("".join(strings).encode("utf-32-le"), "<i4").astype(np.int32), counts


def words(texts: Texts, shortest: int) -> Lists:
    """The words of each text that have at least `shortest` characters; what is no UTF-8 parts words."""
    found = [
        [word for word in _WORD.findall(text.decode("utf-8", "replace")) if len(word) >= shortest] for text in as_bytes(texts)
    ]
    return pa.array([word for listed in found for word in listed], pa.large_string()), np.array(
        [len(one) for one in found], np.int64
    )


def characters(numbers: NDArray[Any]) -> Texts:
    """The text of each character by its number; U+FFFD for what is none."""
    different, places = np.unique(numbers, return_inverse=True)
    known = [
        chr(number) if 0 <= number < 0x110000 and not 0xD800 <= number < 0xE000 else _REPLACEMENT for number in different.tolist()
    ]
    return pa.array(known, pa.large_string()).take(pa.array(places.reshape(-1)))


def grams(texts: Texts, counts: NDArray[np.int64], widths: Sequence[int], separator: str) -> Lists:
    """All runs of neighbours in each list: those of the first width, then those of the next."""
    starts = np.cumsum(counts) - counts
    found, owners = [pa.array([], pa.large_string())], [np.zeros(0, np.int64)]
    for width in widths:
        runs = np.maximum(counts - width + 1, 0)
        owner = np.repeat(np.arange(len(counts)), runs)
        first = starts[owner] + np.arange(len(owner)) - np.repeat(np.cumsum(runs) - runs, runs)
        neighbours = [texts.take(pa.array(first + offset)) for offset in range(width)]
        found.append(
            neighbours[0] if width == 1 else pc.binary_join_element_wise(*neighbours, pa.scalar(separator, pa.large_string()))
        )
        owners.append(owner)
    owner = np.concatenate(owners)
    order = np.argsort(owner, kind="stable")
    return pa.concat_arrays(found).take(pa.array(order)), np.bincount(owner, minlength=len(counts)).astype(np.int64)


def integers(texts: Texts, bits: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """tf.strings.to_number of integers, and where it raises."""
    limit = 1 << (bits - 1)
    values, wrong = np.zeros(len(texts), f"int{bits}"), np.zeros(len(texts), np.bool_)
    for row, text in enumerate(as_bytes(texts)):
        known = _INTEGER.fullmatch(text)
        number = int(known[1]) if known and len(known[1]) < 4_000 else limit
        if -limit <= number < limit:
            values[row] = number
        else:
            wrong[row] = True
    return values, wrong


def floats(texts: Texts, bits: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """tf.strings.to_number of floats, each the nearest to what is written, and where it raises."""
    values, wrong = np.zeros(len(texts), f"float{bits}"), np.zeros(len(texts), np.bool_)
    with np.errstate(over="ignore"):
        for row, text in enumerate(as_bytes(texts)):
            known = _FLOAT.fullmatch(text)
            if known is None:
                wrong[row] = True
            else:
                values[row] = nearest(known[1].decode(), bits)
    return values, wrong


def nearest(text: str, bits: int) -> float:
    """The float that a text means. Of 32 bits: not rounded twice, by way of one of 64 that lies in the middle between two."""
    is_hexadecimal = "x" in text.lower()
    try:
        value = float.fromhex(text) if is_hexadecimal else float(text)
    except OverflowError:
        value = float("-inf" if text.startswith("-") else "inf")
    if bits == 64 or (struct.unpack("<Q", struct.pack("<d", value))[0] & 0x1FFFFFFF) != 0x10000000:
        return value
    exact = of_hexadecimal(text) if is_hexadecimal else Fraction(text)
    direction = np.inf if exact > Fraction(value) else -np.inf
    return float(np.float32(value if exact == Fraction(value) else np.nextafter(value, direction)))


def of_hexadecimal(text: str) -> Fraction:
    mantissa, _, exponent = text.lower().partition("p")
    sign = -1 if mantissa.startswith("-") else 1
    whole, _, fraction = mantissa.partition("x")[2].partition(".")
    digits = Fraction(int(whole + fraction, 16), 16 ** len(fraction))
    return sign * digits * Fraction(2) ** int(exponent or 0)
