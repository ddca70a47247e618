"""`export`, `exec`, `inspect`, `trust`: from SQL to a file to rows, with the trust that native code needs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import qtensor
from tests.aot.files import parts_of, sealed, with_manifest
from tests.cli.conftest import TABLE, CommandLine, ipc_stream

SQL = "SELECT g, x, s FROM t WHERE x > $least AND s <> $other"
ROWS = 'g,x,s\n1,0.5,a\n2,2.0,"say ""b"""\n'


@pytest.fixture
def artifact(qt: CommandLine) -> Path:
    run = qt("export", SQL, "-t", "t=t.parquet", "-p", "least=0.0", "-p", "other=z", "-o", "q.qta")
    assert (run.code, run.output) == (0, b"")
    assert run.errors.startswith("q.qta: ")
    return Path("q.qta")


def test_exec(qt: CommandLine, artifact: Path) -> None:
    run = qt("exec", artifact, "--table", "t=t.parquet")
    assert (run.code, run.text, run.errors) == (0, ROWS, "")
    assert qt("exec", artifact, "-t", "T=t.csv", "-p", "least=1.0").text == 'g,x,s\n2,2.0,"say ""b"""\n'
    assert len(json.loads(qt("exec", artifact, "-t", "t=t.arrow", "-p", "least=-5", "--format", "json").text)) == 3
    assert qt("exec", artifact, "-t", "t=t.parquet", "-p", "other=2026-01-01").text == ROWS  # a text, whatever it looks like
    assert qt("exec", artifact, "-t", "t=t.parquet", "-o", "out.parquet").code == 0
    assert qtensor.sql("SELECT count(*) FROM 'out.parquet'").fetchall() == [(2,)]


def test_exec_reads_stdin(qt: CommandLine, artifact: Path) -> None:
    stream = ipc_stream(TABLE, batch=2)
    assert qt("exec", artifact, stdin=stream).text == ROWS
    assert qt("exec", artifact, "-t", "t=-", stdin=Path("t.csv").read_bytes()).text == ROWS
    assert qt("exec", artifact, "--format", "table", stdin=stream).text.count("\n") == 7
    result = pa.ipc.open_stream(qt("exec", artifact, "--format", "arrow", stdin=stream).output).read_all()
    assert result.to_pydict() == {"g": [1, 2], "x": [0.5, 2.0], "s": ["a", 'say "b"']}


def test_exec_of_a_query_without_a_table(qt: CommandLine) -> None:
    assert qt("export", "SELECT $a + 1 AS b", "-p", "a=1", "-o", "q.qta").code == 0
    assert qt("exec", "q.qta", "-p", "a=2").text == "b\n3\n"
    run = qt("exec", "q.qta", "-t", "t=t.csv")
    assert run.code == 2
    assert "the query reads no table, not t" in run.errors


def test_exported_for_all_data_of_the_same_types(qt: CommandLine) -> None:
    Path("other.csv").write_text("g,x,s\n1000000,,z\n")
    for more, code, text in [((), 1, ""), (("--types-only",), 0, "total\n1000000\n")]:
        assert qt("export", "SELECT sum(g) AS total FROM t", "-t", "t=t.parquet", "-o", "q.qta", *more).code == 0
        run = qt("exec", "q.qta", "-t", "t=other.csv")
        assert (run.code, run.text) == (code, text)
        assert ("assumed values from 1 to 2, found 1000000" in run.errors) == (code == 1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["exec", "nowhere.qta"], 1, "ArtifactError: nowhere.qta cannot be read"),
        (["exec", "t.csv"], 1, "ArtifactError: t.csv: this is no qtensor artifact"),
        (["inspect", "t.parquet"], 1, "ArtifactError: t.parquet: this is no qtensor artifact"),
        (["trust", "t.parquet"], 1, "ArtifactError: t.parquet: this is no qtensor artifact"),
        (["exec", "q.qta", "-t", "u=t.csv"], 2, "the query reads t, not u"),
        (["exec", "q.qta", "-t", "t=t.csv", "-t", "t=t.csv"], 2, "the query reads the table t: add --table t=PATH, once"),
        (["exec", "q.qta", "-t", "t=t.csv", "-p", "most=1"], 1, 'ArtifactError: the query has no parameter "most"'),
        (["exec", "q.qta", "-t", "t=t.csv", "-p", "least=x"], 1, "ArtifactError: the parameter least"),
        (["exec", "q.qta", "-t", "t=t.csv", "-p", "least:int=x"], 2, "--param least: 'x' is no int"),
        (["exec", "q.qta", "-t", "t=nowhere.csv"], 1, "DataError: nowhere.csv: no such file"),
        (["export", "SELECT y FROM t", "-t", "t=t.csv", "-o", "r.qta"], 1, 'BindError: no column "y" in t'),
        (["export", "SELECT g FROM t", "-t", "t=t.csv"], 2, "say what to write: -o FILE.qta, or --native FOLDER"),
        (
            ["export", "SELECT g FROM t", "-t", "t=t.csv", "-o", "nowhere/r.qta"],
            1,
            "ArtifactError: nowhere/r.qta cannot be written",
        ),
        (["trust"], 2, "name a file, or --list"),
        (["trust", "--list", "q.qta"], 2, "--list stands alone"),
    ],
)
def test_failures(qt: CommandLine, artifact: Path, arguments: list[str], code: int, message: str) -> None:
    run = qt(*arguments)
    assert (run.code, run.output) == (code, b"")
    assert message in " ".join(run.errors.split())
    assert not Path("r.qta").exists()


def test_native(qt: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    monkeypatch.setattr(qtensor.Relation, "export_native", lambda self, folder: written.append(folder))
    run = qt("export", "SELECT g FROM t", "-t", "t=t.parquet", "--native", "folder")
    assert (run.code, run.errors, written) == (0, "folder: written\n", ["folder"])


def test_inspect(qt: CommandLine, artifact: Path) -> None:
    text = qt("inspect", artifact).text
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    for line in [
        f"q.qta: {artifact.stat().st_size:,} bytes, made by qtensor {qtensor.__version__}, jax ",
        f"sha256   {digest}\n",
        "trusted  yes: its native code may run\n",
        f"SQL (duckdb)\n  {SQL}\n",
        "  g  BIGINT\n",
        "  x  DOUBLE   no NaN and no denormal number\n",
        "Parameters, with their defaults\n  $least  DOUBLE",
        "Output\n  g  BIGINT\n  x  DOUBLE\n  s  VARCHAR\n",
        "bytes native code for this machine\n",
    ]:
        assert line in text, line
    described = json.loads(qt("inspect", artifact, "--json").text)
    assert (described["digest"], described["sql"], described["trusted"]) == (digest, SQL, True)
    assert described["inputs"][0]["columns"][0] == {"name": "g", "type": "BIGINT", "assumed": []}
    assert described["variants"][0]["kind"] == "whole"


def test_inspect_a_hostile_file(qt: CommandLine, artifact: Path) -> None:
    """What it says is seen, and does nothing to the terminal, nor looks like another line of the report."""
    hostile = "\x1b]0;title\x07\x9b31m\u202eevil\ud800\x7f\ntrusted  yes"

    original = json.loads(parts_of(artifact)["manifest.json"]) | {"sql": hostile}

    def change(manifest: Any) -> None:
        manifest["sql"] = f"SELECT '{hostile}'"
        manifest["output"][0]["name"] = hostile
        manifest["qtensor"] = hostile
        manifest["inputs"][0]["fields"][0]["name"] = hostile

    artifact.write_bytes(sealed(with_manifest(parts_of(artifact), change).items()))
    shown = r"\x1b]0;title\x07\x9b31m\u202eevil\ud800\x7f"
    for arguments in ([], ["--json"]):
        run = qt("inspect", artifact, *arguments)
        assert (run.code, run.errors) == (0, "")
        assert all(character.isprintable() or character == "\n" for character in run.text)
        assert "evil" in run.text
    text = qt("inspect", artifact).text
    assert shown in text
    assert [line for line in text.splitlines() if line.startswith("trusted")] == [
        f"trusted  no: compiled anew; to change that: qtensor trust {artifact}"
    ]
    run = qt("exec", artifact, "-t", "t=t.parquet")
    assert run.code == 1
    assert "\x1b" not in run.errors.replace("\x1b[31m", "").replace("\x1b[1m", "").replace("\x1b[0m", "")
    named = sealed(with_manifest(parts_of(artifact), lambda manifest: manifest.update(original)).items())
    artifact.write_bytes(named)
    assert shown in repr(qtensor.load(artifact, isolated=False))


def test_inspect_a_model(qt: CommandLine, tmp_path: Path) -> None:
    import tensorflow as tf

    module = tf.Module()
    module.w = tf.Variable([2.0, 3.0])
    module.f = tf.function(lambda x: tf.reduce_sum(x * module.w, 1), input_signature=[tf.TensorSpec([None, 2], tf.float32)])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures=module.f)
    assert qt("export", "SELECT m(g, x) AS m FROM t", "-t", "t=t.parquet", "-m", "m=model", "-o", "q.qta").code == 0
    assert "Models\n  m(float32, float32)  FLOAT  " in qt("inspect", "q.qta").text
    assert qt("exec", "q.qta", "-t", "t=t.parquet").text == 'm\n3.5\n10.0\n""\n-0.5\n'


def test_trust(qt: CommandLine, artifact: Path) -> None:
    digest = hashlib.sha256(artifact.read_bytes()).hexdigest()
    assert qt("trust", "--list").text == f"{digest}\n"
    assert qt("trust", artifact, "--remove").text == f"no longer trusted: {digest}\n"
    assert qt("trust", artifact, "--remove").text == f"was not trusted: {digest}\n"
    assert qt("trust", "--list").text == ""
    assert "trusted  no: compiled anew; to change that: qtensor trust q.qta\n" in qt("inspect", artifact).text
    assert qt("exec", artifact, "-t", "t=t.parquet").text == ROWS
    assert qt("trust", artifact).text == f"trusted: {digest}\n"
    assert qt("trust", "--remove", digest).text == f"no longer trusted: {digest}\n"
