"""Spark as a contestant: a quiet local session, on the loopback address only, and the model as a row and a pandas UDF."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from bench.headline import FEATURES, HEADLINE, SPARK_PANDAS, SPARK_ROW
from bench.quiet import stderr_into
from bench.spark_worker import classify_row, classify_series
from bench.timing import Contestant
from bench.tpch import SPARK

OLDEST_JAVA = 17
ROOT = Path(__file__).resolve().parents[1]
LOG4J = "rootLogger.level = off\n"
# With its default of 10,000 rows a batch the pandas UDF is slower.
ROWS_IN_BATCH = 100_000
MEMORY = "4g"
SETTLE = 0.5  # Java compiles and cleans up after it has answered


def spark_missing() -> str | None:
    """Why Spark takes no part, None if it does."""
    if importlib.util.find_spec("pyspark") is None:
        return "pyspark is not installed (make bench-seed installs it)"
    version = java_version()
    if version is None:
        return f"there is no Java (Spark needs version {OLDEST_JAVA} or later)"
    if version < OLDEST_JAVA:
        return f"Java is version {version} (Spark needs {OLDEST_JAVA} or later)"
    return None


def java_version() -> int | None:
    """The major version of the Java that Spark would run on, None if there is none."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if program is None:
        return None
    done = subprocess.run([program, "-version"], capture_output=True, text=True, check=False)
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if done.returncode == 0 and found else None


@contextmanager
def spark_session(threads: int) -> Iterator[Any]:
    """A session on `threads` cores. All that it writes, its log too, goes to a temporary folder that is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="qtensor-bench-spark-") as name, quiet_pyspark():
        folder = Path(name)
        (folder / "log4j2.properties").write_text(LOG4J)
        os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
        os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
        with stderr_into(folder / "stderr"):  # of Java and of the Python workers, which inherit it
            session = started(threads, folder)
        try:
            yield session
        finally:
            session.stop()
            end_java()


def started(threads: int, folder: Path) -> Any:
    from pyspark.sql import SparkSession

    settings = {
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": MEMORY,
        "spark.driver.extraJavaOptions": f"-Dlog4j2.configurationFile={(folder / 'log4j2.properties').as_uri()}",
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.executorEnv.TF_NUM_INTEROP_THREADS": "1",  # there is a worker on each core
        "spark.executorEnv.TF_NUM_INTRAOP_THREADS": "1",
        "spark.local.dir": str(folder / "local"),
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(ROWS_IN_BATCH),
        "spark.sql.shuffle.partitions": str(threads),
        "spark.sql.warehouse.dir": (folder / "warehouse").as_uri(),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    builder = SparkSession.builder.master(f"local[{threads}]").appName("bench")
    for key, value in settings.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("OFF")
    return session


def end_java() -> None:
    """`stop` leaves Java running until this process ends, which would disturb what is timed afterwards."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    if gateway is not None:
        gateway.shutdown()
        gateway.proc.stdin.close()  # Java ends when its standard input does
        gateway.proc.wait(timeout=60)
        SparkContext._gateway = SparkContext._jvm = None


@contextmanager
def quiet_pyspark() -> Iterator[None]:
    """PySpark 4 warns at every UDF that it does not yet know pandas 3 (what is used of it here works) and of its own default."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="PySpark does not yet fully support pandas", category=FutureWarning)
        warnings.filterwarnings("ignore", message="Cannot infer the eval type from type hints", category=UserWarning)
        yield


def spark_headline(session: Any, data: pa.Table, saved_model: str, *, by_row: bool) -> list[Contestant]:
    """The headline query with a pandas UDF, and `by_row` with a row UDF too, over a cached DataFrame.

    The text is asked each time: a DataFrame that is collected twice finds its shuffled data and starts from there.
    """
    cached(session.createDataFrame(data), "data")
    functions = {SPARK_ROW: row_function(saved_model)} if by_row else {}
    functions[SPARK_PANDAS] = pandas_function(saved_model)
    return [udf_contestant(session, name, number, functions[name]) for number, name in enumerate(functions)]


def udf_contestant(session: Any, name: str, number: int, function: Any) -> Contestant:
    """The headline query with `function` under a name of its own, since all UDFs of a session are registered at once."""
    session.udf.register(f"classifier{number}", function)
    query = HEADLINE.replace("classifier(", f"classifier{number}(")
    return Contestant(name, lambda: session.sql(query).toArrow(), SETTLE)


def row_function(saved_model: str) -> Any:
    from pyspark.sql.functions import udf

    def classify(murder: float, assault: float, population: float, rape: float) -> int:
        return classify_row(saved_model, murder, assault, population, rape)

    return udf(classify, "bigint")


def pandas_function(saved_model: str) -> Any:
    import pandas as pd
    from pyspark.sql.functions import pandas_udf  # type: ignore[attr-defined]  # it is there, if undeclared

    def classify(murder: pd.Series, assault: pd.Series, population: pd.Series, rape: pd.Series) -> pd.Series:
        return classify_series(saved_model, murder, assault, population, rape)

    # Annotations are text in this module, and pandas is not among its globals, where PySpark would look them up.
    classify.__annotations__ = dict.fromkeys([*FEATURES, "return"], pd.Series)
    return pandas_udf(classify, "bigint")


def cached(frame: Any, name: str) -> None:
    """Make `frame` a view that lies in memory, decoded once."""
    kept = frame.cache()
    kept.count()
    kept.createOrReplaceTempView(name)


def spark_in_memory(session: Any, path: Path, columns: tuple[str, ...], query: str) -> Contestant:
    """Over a cached DataFrame of these columns."""
    cached(session.read.parquet(str(path)).select(*columns), "lineitem")
    return Contestant(SPARK, lambda: session.sql(query).toArrow(), SETTLE)


def spark_parquet(session: Any, path: Path, query: str) -> Contestant:
    """Over the file, read and decoded anew by each call; the session stays, since starting one takes seconds."""
    session.read.parquet(str(path)).createOrReplaceTempView("lineitem_file")
    text = re.sub(r"\blineitem\b", "lineitem_file", query)
    return Contestant(SPARK, lambda: session.sql(text).toArrow(), SETTLE)
