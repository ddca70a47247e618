"""Functions of many texts at once against TensorFlow's: extremes, all lengths, and bytes that are no UTF-8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf

from qtensor.errors import CapacityError
from qtensor.lowering.models.text import evaluate as evaluation
from qtensor.lowering.models.text import texts as of_texts
from qtensor.lowering.models.text.evaluate import evaluate
from qtensor.lowering.models.text.hashes import fingerprints, keyed_hashes
from qtensor.lowering.models.text.program import (
    Found,
    Joined,
    Strip,
    TextConstant,
    TextInput,
    TextOutput,
    TextProgram,
    bounds,
    narrowest,
)

RANDOM = np.random.default_rng(11)
WORDS = [
    "", " ", "a", "A b", "  lead and  trail ", "x" * 300, "ünï", "ÜNÏ ß", "ΣΑΣ", "İ", "ǅ", "日本語 テキスト", "e\u0301", "👍🏽 ok", "\t tab\nnl\v\f\r",
    "a,b,,c,", ",", ",,", "don't; stop.", "NaN", "nan", "-inf", "+Infinity", "infinit", "1", "-1", "+1", " 12 ", "1_000", "0x1A", "-0XfF", "0x", "0x1.8", "0x.8p-3", "0x1000001", "0x1000001.p1", "0x.", "0x1p9999", "1.5", ".5", "5.", ".",
    "1e5", "1e", "1E+3", "-.5e-3", "1e400", "-1e400", "1e-400", "0.1", "16777217", "16777217.0000001", "2147483648", "-2147483648",
    "9223372036854775807", "9223372036854775808", "-9223372036854775808", "00012", "-0", "1 2", "\u0661", "1.0000000596046448", "1.00000005960464478", "3.4028236e38",
    "1e-45", "7e-46", "1.17549435e-38", "0" * 400 + "1", "\x00a", "a\x00",
]  # fmt: skip
BYTES = [*(word.encode() for word in WORDS), b"\xff", b"a\xc3", b"\xe6\x97", b"\x80abc", b"\xf0\x9f\x91", b"ok\xed\xa0\x80"]


def random_texts() -> list[bytes]:
    letters = list("abcxyzé✓👍 0123,.")
    return ["".join(RANDOM.choice(letters, length)).encode() for length in [*range(200), 500, 4_096] for _ in range(2)]


def texts() -> list[bytes]:
    return [*BYTES, *random_texts()]


def test_hashes() -> None:
    given = texts()
    content = of_texts.buffer_of(of_texts.of_bytes(given))
    for buckets in (1, 7, 1_000_003, (1 << 63) - 1):
        found = (fingerprints(content) % np.uint64(buckets)).astype(np.int64)
        np.testing.assert_array_equal(found, tf.strings.to_hash_bucket_fast(given, buckets))
        for key in ((0, 0), (3, (1 << 63) - 1)):
            found = (keyed_hashes(content, key) % np.uint64(buckets)).astype(np.int64)
            np.testing.assert_array_equal(found, tf.strings.to_hash_bucket_strong(given, buckets, list(key)))


def test_a_part_of_an_array() -> None:
    """Buffers of Arrow that begin elsewhere."""
    given = texts()
    whole = of_texts.of_bytes(given)
    part = whole.slice(7, 90)
    np.testing.assert_array_equal(fingerprints(of_texts.buffer_of(part)), fingerprints(of_texts.buffer_of(whole))[7:97])
    assert of_texts.as_bytes(part) == given[7:97]
    assert len(fingerprints(of_texts.buffer_of(whole.slice(3, 0)))) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
def test_numbers(dtype: str) -> None:
    def by_tensorflow(text: bytes) -> Any:
        try:
            return tf.strings.to_number(text, dtype).numpy()
        except (tf.errors.InvalidArgumentError, UnicodeDecodeError):  # the latter of its message
            return None

    given = [*BYTES, *(str(number).encode() for number in RANDOM.normal(size=300) * 10.0 ** RANDOM.integers(-40, 40, 300))]
    bits = int(dtype.lstrip("intfloa"))
    parse = of_texts.floats if dtype.startswith("f") else of_texts.integers
    values, wrong = parse(of_texts.of_bytes(given), bits)
    for text, value, failed in zip(given, values, wrong, strict=True):
        expected = by_tensorflow(text)
        assert (None if failed else repr(value)) == (None if expected is None else repr(expected)), text


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("encoding", ["", "utf-8"])
def test_case(upper: bool, encoding: str) -> None:
    given = [word.encode() for word in WORDS] if encoding else texts()
    expected = (tf.strings.upper if upper else tf.strings.lower)(given, encoding=encoding).numpy().tolist()
    assert of_texts.as_bytes(of_texts.changed_case(of_texts.of_bytes(given), upper=upper, unicode=bool(encoding))) == expected


@pytest.mark.parametrize("unit", ["BYTE", "UTF8_CHAR"])
def test_lengths_and_slices(unit: Any) -> None:
    given = texts()
    array = of_texts.of_bytes(given)
    np.testing.assert_array_equal(of_texts.length(array, unit), tf.strings.length(given, unit))
    for start, count in ((0, 0), (0, 2), (1, 3), (3, 100), (-2, 2), (-1, 5), (-5, 1), (7, 1)):
        found, outside = of_texts.sliced(array, np.asarray(start), np.asarray(count), unit)
        for text, part, wrong in zip(given, of_texts.as_bytes(found), outside, strict=True):
            try:
                expected = tf.strings.substr(text, start, count, unit).numpy()
            except (tf.errors.InvalidArgumentError, UnicodeDecodeError):  # the latter of its message
                expected = None
            assert (None if wrong else part) == expected, (text, start, count)


@pytest.mark.parametrize("separator", ["", ",", " ", "ab"])
@pytest.mark.parametrize("most", [-1, 1, 2])
def test_split(separator: str, most: int) -> None:
    given = texts()
    values, counts = of_texts.split(of_texts.of_bytes(given), separator, most)
    expected = tf.strings.split(given, separator or None, most)
    assert of_texts.as_bytes(values) == expected.flat_values.numpy().tolist()
    np.testing.assert_array_equal(counts, expected.row_lengths())


def test_strip_and_characters() -> None:
    given = [word.encode() for word in WORDS]
    for replacement in (None, 65533, ord("?")):
        mixed = [*given, b"a\xff b", b"\x80"]
        values, counts = of_texts.code_points(of_texts.of_bytes(mixed), replacement)
        options: dict[str, Any] = {"errors": "ignore"} if replacement is None else {"replacement_char": replacement}
        expected = tf.strings.unicode_decode(mixed, "UTF-8", **options)
        np.testing.assert_array_equal(values, expected.flat_values)
        np.testing.assert_array_equal(counts, expected.row_lengths())
    found = of_texts.characters(values)
    assert of_texts.as_bytes(found) == tf.strings.unicode_encode(values[:, None], "UTF-8").numpy().tolist()


@pytest.mark.parametrize("widths", [(1,), (2,), (1, 2), (3, 1), (5,)])
def test_grams(widths: tuple[int, ...]) -> None:
    words = tf.strings.split(texts())
    values, counts = of_texts.grams(
        of_texts.of_bytes(words.flat_values.numpy()), words.row_lengths().numpy().astype(np.int64), widths, " "
    )
    expected = tf.strings.ngrams(words, widths)
    assert of_texts.as_bytes(values) == expected.flat_values.numpy().tolist()
    np.testing.assert_array_equal(counts, expected.row_lengths())


def test_what_grows_without_bound_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a hostile artifact may ask: a text joined with itself again and again."""
    monkeypatch.setattr(evaluation, "LARGEST", 1 << 20)
    nodes = (TextInput(), *(Joined((number, number), "-") for number in range(60)))
    program = TextProgram(0, nodes, (TextOutput(0, "int32"),))
    with pytest.raises(CapacityError, match="of a dictionary of texts takes"):
        evaluate(program, pa.array(["abc"], pa.large_string()))
    program = TextProgram(0, (TextInput(), *(Strip(number) for number in range(2_000))), (TextOutput(0, "int32"),))
    monkeypatch.setattr(evaluation, "MOST_WORK", 1 << 20)
    with pytest.raises(CapacityError, match="takes too long"):
        evaluate(program, pa.array(["abc"] * 100, pa.large_string()))


def test_types_of_tables() -> None:
    words = ("a", "b", "c")
    for values, stored in (
        ((0, 1, 127), "int8"),
        ((0, 1, 128), "int16"),
        ((0, -(1 << 15), 1), "int16"),
        ((0, 1, 1 << 40), "int64"),
    ):
        nodes = (TextInput(), Found(0, words, values, -1, "int64"), TextConstant(0, "int64"))
        assert narrowest(nodes, 1, "int64") == stored
    assert bounds(nodes, 0) is None
