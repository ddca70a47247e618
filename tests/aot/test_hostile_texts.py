"""Text programs of hostile files: each mutation is refused, or evaluated to what it says, whatever stands in it."""

from __future__ import annotations

import copy
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qtensor.aot.artifact.codec import FormatError, from_json, to_json
from qtensor.aot.artifact.consistency import contradictions, problems_of_texts
from qtensor.aot.artifact.manifest import ModelRecord
from qtensor.errors import QTensorError
from qtensor.lowering.models.text import evaluate as evaluation
from qtensor.lowering.models.text.evaluate import evaluate
from qtensor.lowering.models.text.program import (
    CaseChange,
    Character,
    CodePoints,
    Computed,
    Count,
    Fingerprint,
    FirstOf,
    Found,
    FullMatch,
    Grams,
    HashBucket,
    Histogram,
    Joined,
    Parsed,
    Replace,
    Slice,
    Split,
    Strip,
    TextAt,
    TextConstant,
    TextInput,
    TextLength,
    TextNode,
    TextOutput,
    TextProgram,
    Without,
    Words,
    Written,
)
from qtensor.types import DOUBLE
from tests.aot.test_hostile_manifests import mutate

STRINGS = pa.array(["", "a b a", "Ünï x", "12", "c" * 50, "b a b a"], pa.large_string())

NODES: tuple[TextNode, ...] = (
    TextInput(),
    CaseChange(0, False, True),
    Strip(1),
    Replace(2, "[ab]+", r"<\0>", True),
    FullMatch(2, "a.*"),
    TextLength(2, "UTF8_CHAR"),
    TextConstant(0, "int32"),
    TextConstant(2, "int32"),
    Slice(2, 6, 7, "BYTE"),
    Joined((8, 3), "-"),
    Parsed(2, "float32"),
    HashBucket(9, 1_000, (3, 4)),
    Fingerprint(9),
    Split(2, "", -1),
    Grams(13, (1, 2), " "),
    Found(14, ("a", "b", "a b"), (2, 3, 4), 1, "int64"),
    FirstOf(15, 3, 0),
    Histogram(15, 5, True, "bool"),
    Count(14),
    CodePoints(2, 65533),
    Character(19),
    TextAt(20, 1, "?"),
    Computed("equal", (21, 2), "bool"),
    Computed("select", (22, 5, 7), "int32"),
    Written(23),
    HashBucket(24, 7, None),
    Words(2, 1),
    Without(26, ("b",)),
    Count(27),
)
WIDTHS = {16: (3, "int64"), 17: (5, "bool")}
NUMBERS = {
    4: "bool",
    5: "int32",
    10: "float32",
    11: "int64",
    12: "int64",
    18: "int64",
    22: "bool",
    23: "int32",
    25: "int64",
    28: "int64",
}


def program() -> TextProgram:
    outputs = [TextOutput(number, dtype) for number, dtype in NUMBERS.items()]  # type: ignore[arg-type]
    outputs += [TextOutput(number, dtype, width) for number, (width, dtype) in WIDTHS.items()]  # type: ignore[arg-type]
    return TextProgram(0, NODES, (*outputs, TextOutput(10, "bool", None, failed=True)))


def record(texts: TextProgram) -> ModelRecord:
    return ModelRecord("m", "", ("object",), DOUBLE, None, None, (), None, (), (texts,))


def used(json: Any) -> list[Any]:
    """What a program of a file makes of texts. Raises QTensorError."""
    try:
        read = from_json(TextProgram, json)
    except FormatError as error:
        raise QTensorError(str(error)) from error
    with contradictions():
        if problem := next(problems_of_texts(record(read)), None):
            raise QTensorError(problem)
        return evaluate(read, STRINGS)


def test_written_and_read() -> None:
    """Every kind of node goes into a file and comes out of it, and gives the same."""
    written = json.loads(json.dumps(to_json(program())))
    assert from_json(TextProgram, written) == program()
    for found, expected in zip(used(written), evaluate(program(), STRINGS), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert evaluate(program(), STRINGS.slice(0, 0))[0].shape == (0,)


@pytest.mark.parametrize("seed", range(4))
def test_mutations(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "LARGEST", 1 << 20)  # so that the test itself takes no memory
    random = np.random.default_rng(seed)
    original = to_json(program())
    refused = 0
    for _ in range(500):
        mutated = copy.deepcopy(original)
        change = mutate(mutated, random)
        try:
            used(mutated)
        except QTensorError:
            refused += 1
        except Exception as error:
            raise AssertionError(f"{change} gives {type(error).__name__}: {error}") from error
    assert 100 < refused < 500


@pytest.mark.parametrize(
    ("node", "problem"),
    [
        (Strip(5), "reads what is not there yet"),
        (Strip(-1), "reads what is not there yet"),
        (Found(0, ("a", "b"), (1,), 0, "int64"), "has keys without values"),
        (HashBucket(0, 0, None), "hashes into no bucket"),
        (HashBucket(0, 5, (1 << 64, 0)), "hashes into no bucket"),
        (Grams(0, (0,), ""), "joins too many neighbours"),
        (FirstOf(0, 1 << 40, 0), "makes 1099511627776 numbers of a text"),
    ],
)
def test_programs_that_contradict_themselves(node: TextNode, problem: str) -> None:
    found = TextProgram(0, (TextInput(), node), (TextOutput(1, "int64"),))
    assert any(problem in one for one in problems_of_texts(record(found)))


def test_of_no_argument() -> None:
    found = TextProgram(3, (TextInput(),), ())
    assert any("of the argument 3, which is none" in one for one in problems_of_texts(record(found)))
