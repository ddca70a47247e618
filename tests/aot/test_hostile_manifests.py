"""Manifests of a hostile file, sealed as they should be: an ArtifactError or the right answer, whatever stands in them."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from qtensor.aot.artifact.artifact import Artifact
from qtensor.aot.artifact.container import MANIFEST, opened
from qtensor.errors import ArtifactError, QTensorError
from tests.aot.exports import Exports
from tests.aot.files import parts_of, sealed, with_manifest

VALUES = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2,
    63,
    2**31,
    -(2**31),
    2**63,
    2**64,
    2**200,
    "",
    "x",
    "int8",
    "float64",
    [],
    [0],
    {},
    [[]],
    {"@": "x"},
]
QUERY = (
    "SELECT id, s LIKE $p AS fits, CASE WHEN s < $u THEN c ELSE s END AS txt, i16 + $a AS more, CAST(i8 AS VARCHAR) AS written, "
    "TRY_CAST(w AS INTEGER) AS number, s IN ($u, 'b') AS among FROM t WHERE i16 > $a AND moment > TIMESTAMP '1970-01-01 00:00:00'"
)
GROUPS = (
    "SELECT g, c, count(*) AS n, sum(i64) AS total, min(s) AS least FROM t WHERE i16 > $a GROUP BY g, c ORDER BY n, g, c LIMIT 5"
)


def places(json: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in the JSON that can be put to something else: the container and its key."""
    for key in list(json) if isinstance(json, dict) else range(len(json)):
        yield json, key
        if isinstance(json[key], dict | list):
            yield from places(json[key])


def mutate(manifest: Any, random: np.random.Generator) -> str:
    """Change one place: another value, a piece from elsewhere, nothing, or twice the same."""
    found = list(places(manifest))
    container, key = found[random.integers(len(found))]
    before = json.dumps(container[key])[:60]
    match random.integers(5):
        case 0 | 1:
            container[key] = copy.deepcopy(VALUES[random.integers(len(VALUES))])
        case 2:
            other, other_key = found[random.integers(len(found))]
            container[key] = copy.deepcopy(other[other_key])
        case 3 if isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        case 4 if isinstance(container, list):
            del container[key]
        case _ if isinstance(container[key], int):
            container[key] += int(random.integers(-3, 4))
        case _:
            container[key] = 1 << int(random.integers(70))
    return f"{key}: {before}"


@pytest.fixture(scope="module")
def t(rows: pa.Table) -> pa.Table:
    return rows.slice(0, 60)


def usable(content: bytes, table: pa.Table) -> list[pa.Table]:
    """What a file answers, in its own values and in others. Raises QTensorError."""
    artifact = Artifact(opened(content), threads=1, isolated=False)
    return [artifact(table), artifact(table, a=-50), artifact.stream(table).read_all()]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sql", [QUERY, GROUPS], ids=["rows", "groups"])
def test_mutations(sql: str, seed: int, exports: Exports, schema: pa.Schema, t: pa.Table) -> None:
    """Types swapped, numbers and references out of range: 25 manifests each, loaded and called."""
    params = {"p": "a%", "u": "zz", "a": -200} if sql is QUERY else {"a": -200}
    parts = parts_of(exports.path(sql, schema, params))
    original = json.loads(parts[MANIFEST])
    random = np.random.default_rng(seed)
    for _ in range(25):
        manifest = copy.deepcopy(original)
        change = mutate(manifest, random)
        try:
            usable(sealed({**parts, MANIFEST: json.dumps(manifest).encode()}.items()), t)
        except QTensorError:
            pass
        except Exception as error:
            raise AssertionError(f"{change} gives {type(error).__name__}: {error}") from error


def passed_on(manifest: Any) -> Any:
    """A column of the result that is taken from the table."""
    return {"@": "SourceSlot", "column": manifest["inputs"][0]["columns"][0]["column"]["index"], "validity": False}


IMPOSSIBLE: dict[str, Callable[[Any], object]] = {
    "digits": lambda m: m["output"][0].update(type={"@": "Decimal", "precision": 38, "scale": 10**9}),
    "a column's digits": lambda m: m["inputs"][0]["fields"][0].update(type={"@": "Decimal", "precision": 10**9, "scale": 0}),
    "bits": lambda m: m["output"][0].update(type={"@": "Integer", "bits": 7, "signed": True}),
    "float bits": lambda m: m["output"][0].update(type={"@": "Float", "bits": 16}),
    "elements": lambda m: m["output"][0].update(type={"@": "Array", "element": {"@": "Float", "bits": 32}, "length": 1 << 40}),
    "an array of nothing": lambda m: [
        place["output"][0].update(type={"@": "Array", "element": {"@": "Float", "bits": 64}, "length": 9})
        for place in (m, *(form["planned"] for form in m["forms"]))
    ],
    "a literal of another type": lambda m: m["parameters"][0]["value"].update(value="text"),
    "a truth value for a number": lambda m: m["parameters"][0]["value"].update(value=True),
    "a group's column from the table": lambda m: m["forms"][0]["planned"]["output"][0].update(data=passed_on(m)),
    "a column of rows by their numbers": lambda m: m["forms"][0]["planned"]["output"][0].update(
        data={**passed_on(m), "@": "LateSlot", "table": "t", "rows": 0}
    ),
    "other columns in one form": lambda m: m["forms"][0]["planned"]["plan"]["pipelines"][0]["source"]["columns"].pop(),
    "texts without end": lambda m: m["forms"][0]["planned"]["output"][1].update(
        dictionary={"@": "FormattedDictionary", "type": {"@": "Integer", "bits": 64, "signed": True}, "low": 0, "high": 1 << 62}
    ),
    "texts of what has none": lambda m: m["forms"][0]["planned"]["output"][1].update(
        dictionary={"@": "WrittenDictionary", "type": {"@": "Boolean"}}
    ),
}


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_impossible(name: str, exports: Exports, schema: pa.Schema) -> None:
    parts = parts_of(exports.path(GROUPS, schema, {"a": -200}))
    with pytest.raises(ArtifactError, match="manifest"):
        Artifact(opened(sealed(with_manifest(parts, IMPOSSIBLE[name]).items())), isolated=False)
