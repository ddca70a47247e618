"""Boxes against the ones DuckDB draws, and what must hold of any table, however odd."""

from __future__ import annotations

import contextlib
import html.parser
import io
import os

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from qtensor.results.display import LONGEST_HTML_TEXT, render_html, render_text

QUERIES = {
    "one row of many types": """SELECT 1 AS a, 'x' AS b, 1.5::DECIMAL(10,2) AS d, DATE '2020-01-01' AS e,
        [1.5, NULL, 3]::FLOAT[3] AS f, true AS g, 1e20 AS h, 'NaN'::DOUBLE AS i""",
    "integers": """SELECT 3::UTINYINT AS b, 4::UBIGINT AS c, 6::TINYINT AS e, 7::SMALLINT AS f, 8::USMALLINT AS g,
        9::UINTEGER AS h""",
    "floats": """SELECT 1e15::DOUBLE AS a, 1e16 AS b, 123456789012345680.0::DOUBLE AS c, 16777216::FLOAT AS d,
        3.4028235e38::FLOAT AS e, 1e-5::FLOAT AS f, 0.0001::DOUBLE AS g, 'inf'::FLOAT AS h,
        '-inf'::DOUBLE AS i, -0.0::DOUBLE AS j, 0.1::FLOAT AS k""",
    "decimals": "SELECT 12345678.90::DECIMAL(18,2) AS a, 0::DECIMAL(18,10) AS b, -5::DECIMAL(4,0) AS c, 1e-9::DECIMAL(38,9) AS d",
    "times": """SELECT TIMESTAMP '2020-01-01 10:00:00.5' AS a, TIMESTAMP '2020-01-01' AS b, DATE '20000-01-01' AS c,
        DATE '0045-03-15 (BC)' AS d, TIMESTAMP '12000-01-01 00:00:00.123456' AS e, TIMESTAMP '0044-01-01 (BC) 00:00:00' AS f""",
    "null in every type": """SELECT NULL::INTEGER AS a, NULL::VARCHAR AS b, '' AS c, NULL::DOUBLE[2] AS d, NULL::DATE AS e,
        NULL AS f""",
    "control characters": """SELECT 'line1' || chr(10) || 'line2' || chr(9) || chr(7) || chr(27) || chr(0) || chr(31)
        || chr(13) AS b""",
    "wide and combining characters": """SELECT 'ünïcödé' AS a, '日本語テキスト' AS "日本", '👩‍👩‍👧‍👦' AS c,
        'e\u0301' AS d, '👍🏽' AS e""",
    "odd names": """SELECT 'x' AS "weird\nname", 2 AS ""\"q""\" """,
    "uncut": "SELECT i, i * 2 AS double_i, 'name' || i AS n FROM range(23) t(i)",
    "nine rows": "SELECT i AS a FROM range(9) t(i)",
    "ten rows, too narrow for their number": "SELECT i AS a FROM range(10) t(i)",
    "ten rows, their number fits": "SELECT i AS a, i AS b FROM range(10) t(i)",
    "cut, counts on one line": "SELECT i, repeat('x', i::INTEGER) AS s FROM range(60) t(i)",
    "cut, counts on two lines": "SELECT i, i * 2 AS double_i, 'name' || i AS n FROM range(30) t(i)",
    "cut, one column": "SELECT i AS a FROM range(24) t(i)",
    "cut, dots": """SELECT i AS a, i % 3 = 0 AS b, DATE '2020-01-01' + i::INTEGER AS d, -i * 1000000 AS c
        FROM range(1000, 1030) t(i)""",
    "no rows": "SELECT 1 AS a WHERE false",
    "no rows, two columns": "SELECT 1 AS a, 'b' AS b WHERE false",
    "two long columns": "SELECT repeat('a', 90) AS a, repeat('b', 90) AS b, 1 AS c FROM range(30)",
    "a long column": "SELECT repeat('a', 200) AS a FROM range(30)",
    "many columns": "SELECT " + ", ".join(f"{i}::BIGINT AS column_number_{i}" for i in range(30)),
    "many narrow columns": "SELECT " + ", ".join(f"{i} AS c{i}" for i in range(40)),
    "columns of all widths": "SELECT " + ", ".join(f"repeat('x', {i * 7 % 23}) AS c{i}" for i in range(20)) + " FROM range(9)",
}


@pytest.mark.parametrize("query", QUERIES.values(), ids=QUERIES.keys())
@pytest.mark.parametrize("width", [80, 120, 151])
def test_as_duckdb_draws_it(query, width, capfd):
    """Up to blanks at the ends of lines, and DuckDB's plural "1 rows"."""
    relation = duckdb.sql(query)
    relation.show(max_width=width)
    expected = [line.rstrip() for line in capfd.readouterr().out.replace("  1 rows ", "  1 row  ").splitlines()]
    drawn = render_text(relation.to_arrow_table(), [str(type_) for type_ in relation.types], width=width)
    assert drawn.splitlines() == expected[: expected.index("") if "" in expected else None]


def one_column(values, type_=None) -> pa.Table:
    return pa.table({"a": pa.array(values, type_)})


@pytest.mark.parametrize(("rows", "shown"), [(1, (1, 0)), (2, (1, 1)), (5, (3, 2)), (20, (10, 10))])
def test_rows_shown_are_the_first_and_the_last(rows, shown):
    lines = render_text(one_column(range(1_000, 1_100)), ["BIGINT"], rows=rows).splitlines()
    numbers = [int(word) for line in lines for word in line.split() if word.isdigit() and len(word) == 4]
    first, last = shown
    assert numbers == [*range(1_000, 1_000 + first), *range(1_100 - last, 1_100)]
    assert f"({rows} shown)" in " ".join(lines[-2:])


def test_no_columns():
    table = one_column(range(5)).select([])
    assert render_text(table, []) == "  5 rows, 0 columns"
    assert "<p>5 rows, 0 columns</p>" in render_html(table, [])


def test_dictionary_encoded_text_is_shown_as_text():
    assert render_text(one_column(pa.array(["x", None, "x"]).dictionary_encode()), ["VARCHAR"]) == render_text(
        one_column(["x", None, "x"]), ["VARCHAR"]
    )


def test_chunks_and_slices_make_no_difference():
    whole = one_column(range(100))
    chunked = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 0), whole.slice(7)])
    assert render_text(chunked, ["BIGINT"]) == render_text(whole, ["BIGINT"])
    assert render_text(whole.slice(90), ["BIGINT"]) == render_text(one_column(range(90, 100)), ["BIGINT"])


def test_width_is_the_terminals(monkeypatch):
    table = pa.table({f"column_{i}": [i] for i in range(30)})
    monkeypatch.setattr("shutil.get_terminal_size", lambda fallback: os.terminal_size((90, 24)))
    assert render_text(table, ["BIGINT"] * 30) == render_text(table, ["BIGINT"] * 30, width=90)


def test_text_null_and_null_look_different_in_html():
    page = render_html(one_column(["NULL", None]), ["VARCHAR"])
    assert page.count("<em>NULL</em>") == 1
    assert page.count(">NULL<") == 2


class Cells(html.parser.HTMLParser):
    """The texts of the body's cells, and every tag seen."""

    def __init__(self) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self.inside = False

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "td":
            self.inside = True
            self.cells.append("")

    def handle_endtag(self, tag):
        if tag == "td":
            self.inside = False

    def handle_data(self, data):
        if self.inside:
            self.cells[-1] += data


def test_html_is_escaped():
    parser = Cells()
    page = render_html(pa.table({"<b>&": ["<script>alert('x')</script>"]}), ["VARCHAR"])
    parser.feed(page)
    assert parser.cells == ["<script>alert('x')</script>"]
    assert parser.tags == {"table", "thead", "tbody", "tr", "th", "td", "br", "small", "p"}
    assert "<th>&lt;b&gt;&amp;<br><small>varchar</small></th>" in page


def test_html_is_cut():
    parser = Cells()
    page = render_html(pa.table({"a": range(100), "b": ["y" * 10_000] * 100}), ["BIGINT", "VARCHAR"], rows=4)
    parser.feed(page)
    assert parser.cells[0::2] == ["0", "1", "⋮", "98", "99"]
    assert len(parser.cells[1]) == LONGEST_HTML_TEXT
    assert "<p>100 rows (4 shown), 2 columns</p>" in page
    assert "<p>1 row, 1 column</p>" in render_html(one_column([1]), ["BIGINT"])


TEXTS = st.none() | st.text(max_size=40)
COLUMNS = st.sampled_from(
    [
        ("BIGINT", pa.int64(), st.none() | st.integers(-(2**63), 2**63 - 1)),
        ("DOUBLE", pa.float64(), st.none() | st.floats()),
        ("VARCHAR", pa.string(), TEXTS),
        ("DATE", pa.date32(), st.none() | st.dates()),
        ("TIMESTAMP", pa.timestamp("us"), st.none() | st.datetimes()),
        ("DECIMAL(20,4)", pa.decimal128(20, 4), st.none() | st.decimals(-(10**15), 10**15, places=4)),
        ("FLOAT[2]", pa.list_(pa.float32(), 2), st.none() | st.tuples(st.floats(width=32), st.floats(width=32))),
    ]
)


@st.composite
def tables(draw) -> tuple[pa.Table, list[str]]:
    rows = draw(st.integers(0, 12))
    kinds = draw(st.lists(COLUMNS, min_size=1, max_size=12))
    arrays = [pa.array(draw(st.lists(values, min_size=rows, max_size=rows)), type_) for _, type_, values in kinds]
    names = draw(st.lists(st.text(max_size=30), min_size=len(kinds), max_size=len(kinds)))
    return pa.table(arrays, names=names), [name for name, _, _ in kinds]


@given(tables(), st.integers(1, 8), st.integers(40, 150))
def test_any_table_is_a_box_that_fits(table_and_types, rows, width):
    """All lines of the box are equally wide and fit; nothing is lost silently; no cell breaks a line."""
    table, types = table_and_types
    text = render_text(table, types, rows=rows, width=width)
    lines = text.split("\n")
    bottom = next(index for index, line in enumerate(lines) if line.startswith("└"))
    assert len({cell_len(line) for line in lines[: bottom + 1]}) == 1
    assert cell_len(lines[0]) <= width
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for line in lines for character in line)
    rows_drawn = max(0, bottom - 4)
    assert rows_drawn == (table.num_rows if table.num_rows <= rows + 3 else rows + 3 * (rows > 1))
    if table.num_rows > rows + 3:
        assert f"{table.num_rows} rows" in text


@given(tables())
def test_any_table_is_html_with_all_its_cells(table_and_types):
    table, types = table_and_types
    parser = Cells()
    parser.feed(render_html(table, types, rows=100))
    assert len(parser.cells) == table.num_rows * table.num_columns
    for index, name in enumerate(types):
        if name == "BIGINT":
            column = [None if text == "NULL" else int(text) for text in parser.cells[index :: table.num_columns]]
            assert column == table.column(index).to_pylist()


def test_dates_beyond_those_of_python():
    dates = np.array([-1_000_000, -719_528, -719_162, 3_000_000], dtype="datetime64[D]")
    lines = render_text(one_column(dates), ["DATE"]).splitlines()
    assert [line.strip("│ ") for line in lines[4:-1]] == ["0769-02-04 (BC)", "0001-01-01 (BC)", "0001-01-01", str(dates[3])]


@given(st.lists(st.integers(1, 60), min_size=2, max_size=14), st.integers(80, 160))
def test_columns_are_cut_and_left_out_as_duckdb_does(lengths, width):
    """The upper rule of the box tells the width of every column."""
    columns = ", ".join(f"repeat('x', {length}) AS c{index}" for index, length in enumerate(lengths))
    relation = duckdb.sql(f"SELECT {columns} FROM range(30)")
    with contextlib.redirect_stdout(io.StringIO()) as output:
        relation.show(max_width=width)
    drawn = render_text(relation.to_arrow_table(), ["VARCHAR"] * len(lengths), width=width)
    assert drawn.splitlines()[0] == output.getvalue().splitlines()[0]
