"""Whether data is what an artifact's programs assume: checked whenever data is bound, and said column by column if not."""

from __future__ import annotations

from collections.abc import Sequence

from qtensor.aot.artifact.manifest import AssumedColumn, Input
from qtensor.errors import ArtifactError, suggestion
from qtensor.lowering.storage import EncodedColumn, unique_together
from qtensor.types import Decimal, Integer, Schema, SqlType, Varchar
from qtensor.values.texts import format_value


def positions(assumed: Input, fields: Schema, table: str) -> list[int]:
    """Where the columns that the query reads stand in a table with `fields`: found by name, in any order.

    Raises ArtifactError: columns are missing or have other types; all are named.
    """
    by_name = {field.name.lower(): index for index, field in enumerate(fields)}
    found, problems = [], []
    for column in assumed.columns:
        expected = assumed.fields[column.column.index]
        index = by_name.get(expected.name.lower())
        if index is None:
            hint = suggestion(expected.name, [field.name for field in fields])
            problems.append(f'column "{expected.name}" ({expected.type}) is missing. {hint}'.rstrip())
        elif not same_kind(fields[index].type, expected.type):
            problems.append(f'column "{expected.name}": assumed {expected.type}, found {fields[index].type}')
        else:
            found.append(index)
    if problems:
        raise broken(table, problems)
    return found


def same_kind(found: SqlType, expected: SqlType) -> bool:
    """Whether values of one type can stand for the other's: the same, both integers, whose values are checked, or both texts.

    DECIMAL(38,0) counts as an integer: it is what Arrow has for HUGEINT. A text that is none of an ENUM's is an error where the
    ENUM's order is asked for.
    """

    def whole(type: SqlType) -> bool:
        return isinstance(type, Integer) or type == Decimal(38, 0)

    texts = isinstance(found, Varchar) and isinstance(expected, Varchar)
    return found == expected or (whole(found) and whole(expected)) or texts


def check(assumed: Input, columns: Sequence[EncodedColumn], table: str) -> None:
    """Raise ArtifactError for everything in which the data is not as assumed."""
    problems = []
    for expected, column in zip(assumed.columns, columns, strict=True):
        name = assumed.fields[expected.column.index].name
        problems += [f'column "{name}": {problem}' for problem in differences(expected, column)]
    by_index = {expected.column.index: column for expected, column in zip(assumed.columns, columns, strict=True)}
    for key in assumed.unique:
        if not are_unique([by_index[index] for index in key]):
            names = ", ".join(assumed.fields[index].name for index in key)
            problems.append(f"assumed no two equal rows of ({names}), found some")
    if problems:
        raise broken(table, problems)


def are_unique(columns: Sequence[EncodedColumn]) -> bool:
    """Whether no two rows are equal in all columns; one row is unlike all others even in none."""
    return unique_together(columns) if columns else False


def differences(assumed: AssumedColumn, column: EncodedColumn) -> list[str]:
    statistics, expected = column.statistics, assumed.column
    found = []
    if statistics.nulls and not expected.nullable:
        found.append(f"assumed no NULL, found {statistics.nulls:,}")
    if isinstance(column.type, Varchar):
        size = 0 if column.dictionary is None else len(column.dictionary)
        if assumed.strings is not None and size > assumed.strings:
            found.append(f"assumed at most {assumed.strings:,} different strings, found {size:,}")
        return found
    low, high = statistics.minimum, statistics.maximum
    if expected.range is not None and low is not None and high is not None:
        least, greatest = expected.range.low, expected.range.high
        outside = low if low < least else high if high > greatest else None
        if outside is not None:
            bounds = f"{format_value(least, column.type)} to {format_value(greatest, column.type)}"
            found.append(f"assumed values from {bounds}, found {format_value(int(outside), column.type)}")
    if not expected.may_be_nan and (statistics.has_nan or statistics.has_denormals):
        found.append(f"assumed no NaN and no denormal number, found {'NaN' if statistics.has_nan else 'a denormal number'}")
    return found


def broken(table: str, problems: Sequence[str]) -> ArtifactError:
    listed = "".join(f"\n  {problem}" for problem in problems)
    return ArtifactError(f'the table "{table}" is not what the exported query assumes; export it for such data.{listed}')
