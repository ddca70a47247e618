"""An installation without TensorFlow: nothing but what requirements-lean.txt brings can be imported, and SQL and artifacts work."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
import tomllib
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

import qtensor

ROOT = Path(__file__).parents[2]
LEAN = [line for line in (ROOT / "requirements-lean.txt").read_text().splitlines() if line and not line.startswith("#")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def brought(requirements: list[str]) -> set[str]:
    """The distributions that installing these brings."""
    found: set[str] = set()
    pending = [Requirement(line) for line in requirements]
    while pending:
        wanted = pending.pop()
        if canonical(wanted.name) in found or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(canonical(wanted.name))
        pending += map(Requirement, distribution(wanted.name).requires or [])
    return found


def run_lean(program: str, folder: Path) -> str:
    """What a program prints in a process that cannot import what a lean installation lacks."""
    installed = brought(LEAN)
    assert "tensorflow" not in installed
    assert {"jax", "pyarrow"} <= installed
    missing = sorted(
        name for name, owners in packages_distributions().items() if not {canonical(owner) for owner in owners} & installed
    )
    assert {"tensorflow", "keras", "pandas", "duckdb"} <= set(missing)
    missing = [
        name for name in missing if name != "qtensor" and name not in sys.stdlib_module_names and not name.startswith("__")
    ]
    guard = f"""
        import sys
        sys.path[:] = [path for path in sys.path if path not in ("", {str(folder)!r})] + [{str(ROOT)!r}]
        class Missing:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {missing!r}:
                    raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
        sys.meta_path.insert(0, Missing())
    """
    text = textwrap.dedent(guard) + textwrap.dedent(program)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_its_requirements_are_those_of_the_package_without_tensorflow() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert [line for line in project["dependencies"] if not line.startswith("tensorflow")] == LEAN


def test_sql_files_functions_of_jax_and_artifacts(tmp_path: Path) -> None:
    program = """
        import numpy as np, pyarrow as pa, pyarrow.parquet as pq
        import qtensor
        table = {"g": np.arange(6) % 2, "x": np.arange(6) / 2, "s": np.array(["a", "b", "a", "c", "b", "a"])}
        pq.write_table(pa.table(table), "t.parquet")
        con = qtensor.connect()
        con.register("t", table).create_function("twice", lambda x: 2 * x)
        print(con.sql("SELECT s, sum(twice(x)) FROM 't.parquet' GROUP BY s ORDER BY s").fetchall())
        con.sql("CREATE TABLE made AS SELECT upper(s) AS u, strftime(DATE '2026-01-02', '%b') AS d FROM t")
        print(con.sql("SELECT count(*) FROM made WHERE u LIKE 'A%' AND d = 'Jan'").fetchone())
        con.sql("SELECT g, sum(twice(x)) AS total FROM t WHERE x > $least GROUP BY g ORDER BY g", {"least": 0.4}).export("q.qta")
        print(qtensor.load("q.qta")(t=table, least=1.2).to_pylist())
        con.sql("COPY made TO 'made.csv'")
        print(con.sql("FROM 'made.csv' LIMIT 1").fetchall())
    """
    assert run_lean(program, tmp_path).splitlines() == [
        "[('a', 7.0), ('b', 5.0), ('c', 3.0)]",
        "(3,)",
        "[{'g': 0, 'total': 4.0}, {'g': 1, 'total': 8.0}]",
        "[('A', 'Jan')]",
    ]


def test_an_artifact_with_a_tensorflow_model(tmp_path: Path) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, activation="relu"), keras.layers.Dense(1)])
    table = {"a": np.arange(5.0), "b": np.ones(5)}
    relation = qtensor.connect().register("t", table).create_function("m", model).sql("SELECT sum(m(a, b)) AS s FROM t")
    relation.export(tmp_path / "m.qta")
    (expected,) = relation.fetchone()
    program = """
        import numpy as np, qtensor
        print(qtensor.load("m.qta")(t={"a": np.arange(5.0), "b": np.ones(5)}).to_pylist()[0]["s"])
    """
    assert float(run_lean(program, tmp_path)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("call", ["con.create_function('m', 'model.keras')", "con.create_function('m', 'saved_model')"])
def test_registering_a_tensorflow_model_says_what_is_missing(tmp_path: Path, call: str) -> None:
    program = f"""
        import qtensor
        con = qtensor.connect()
        try:
            {call}
        except qtensor.errors.ModelError as error:
            print(error)
    """
    (tmp_path / "model.keras").write_bytes(b"")
    (tmp_path / "saved_model").mkdir()
    assert "TensorFlow is needed to register a TensorFlow model" in run_lean(program, tmp_path)


def test_the_command_line_without_tensorflow(tmp_path: Path) -> None:
    program = """
        from qtensor.cli.main import main
        main(["run", "SELECT 40 + 2 AS x", "--format", "csv"])
    """
    assert run_lean(program, tmp_path).split() == ["x", "42"]
