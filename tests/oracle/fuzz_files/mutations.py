"""Random changes of bytes that know nothing of what the bytes mean."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from random import Random

# What lengths, counts and offsets are when they are wrong.
NUMBERS = (
    0,
    1,
    -1,
    2,
    7,
    127,
    128,
    255,
    256,
    2**15,
    2**16 - 1,
    2**24,
    2**31 - 1,
    -(2**31),
    2**32 - 1,
    2**40,
    2**60,
    2**63 - 1,
    -(2**63),
)
LONGEST_COPY = 4_096


def mutated_bytes(random: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """`content` after one change, seldom after several. others: where spliced pieces may come from."""
    if random.random() < 0.05:
        return random.choice([b"", random.randbytes(random.randrange(1, 200)), content + content, content[::-1]])
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        content = random.choice(CHANGES)(random, content, others)
    return content


def flip_bit(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    if not content:
        return content
    position = random.randrange(len(content))
    return content[:position] + bytes([content[position] ^ 1 << random.randrange(8)]) + content[position + 1 :]


def set_byte(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    if not content:
        return content
    position = random.randrange(len(content))
    return (
        content[:position]
        + random.choice((b"\0", b"\x01", b"\x7f", b"\x80", b"\xff", random.randbytes(1)))
        + content[position + 1 :]
    )


def set_number(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Four or eight bytes become a number at the border of what a length can be."""
    width, form = random.choice(((2, "H"), (4, "I"), (8, "Q")))
    position = random.randrange(max(1, len(content) - width + 1))
    number = random.choice(NUMBERS) % (1 << 8 * width)
    return content[:position] + struct.pack(random.choice("<>") + form, number) + content[position + width :]


def truncate(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    end = random.choice((random.randrange(len(content) + 1), max(0, len(content) - random.randrange(1, 64))))
    return content[:end] if random.random() < 0.8 else content[end:]


def remove(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = span(random, content)
    return content[:start] + content[end:]


def repeat(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = span(random, content)
    return content[:end] + content[start:end] * random.choice((1, 1, 2, 50)) + content[end:]


def zero(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = span(random, content)
    return content[:start] + bytes(end - start) + content[end:]


def shuffle(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    start, end = span(random, content)
    return content[:start] + bytes(random.sample(content[start:end], end - start)) + content[end:]


def splice(random: Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """A piece of another input, or of this one, over a piece of as many bytes or of others."""
    source = random.choice([content, *others])
    start, end = span(random, source)
    piece = source[start:end]
    target = random.randrange(len(content) + 1)
    return content[:target] + piece + content[target + (len(piece) if random.random() < 0.7 else 0) :]


def span(random: Random, content: bytes) -> tuple[int, int]:
    """A piece of the content, mostly short."""
    start = random.randrange(len(content) + 1)
    return start, min(
        len(content), start + random.choice((random.randrange(1, 9), random.randrange(1, 65), random.randrange(1, LONGEST_COPY)))
    )


CHANGES = (
    flip_bit,
    flip_bit,
    flip_bit,
    set_byte,
    set_byte,
    set_number,
    set_number,
    truncate,
    remove,
    repeat,
    zero,
    shuffle,
    splice,
)
