"""Calls that are stopped, by Ctrl-C, a time limit or another thread, and queries nested deeply."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import duckdb
import numpy as np
import pytest

import qtensor
from qtensor.aot.artifact.programs import Programs
from qtensor.aot.machine import compile as compiling
from qtensor.errors import DataError, InterruptError, QTensorError, QueryTimeoutError
from qtensor.models import Registration
from qtensor.process import calls
from qtensor.process.calls import Calls, ThreadCall, check

ROWS = 300_000
LONG = "SELECT sum(x.b * y.b % 7) FROM t x JOIN t y ON x.a = y.a JOIN t z ON z.a = y.a"  # 3e11 pairs


@pytest.fixture
def connection() -> qtensor.Connection:
    return large(qtensor.connect())


def large(connection: qtensor.Connection) -> qtensor.Connection:
    return connection.register("t", {"a": np.arange(ROWS) % 300, "b": np.arange(ROWS)})


def still_works(connection: qtensor.Connection) -> None:
    assert connection.sql("SELECT sum(b) FROM t").fetchall() == [(ROWS * (ROWS - 1) // 2,)]


def threads_of_calls() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "qtensor-call"]


def ends(what: Callable[[], bool], seconds: float = 60) -> bool:
    """Whether it becomes true in time: long enough for any machine, since it says what happens and not how fast."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.01)
    return False


@contextmanager
def compilation_held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The next compilation begins, and does not end before this does; the event is set when it began."""
    began, go_on, compile = threading.Event(), threading.Event(), compiling.compile_stablehlo
    first = threading.Lock()

    def held(*arguments: object) -> object:
        if first.acquire(blocking=False):
            began.set()
            go_on.wait(60)
        return compile(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(compiling, "compile_stablehlo", held)
    try:
        yield began
    finally:
        go_on.set()


def test_a_running_query_ends_at_the_timeout() -> None:
    connection = large(qtensor.connect(timeout=0.5))
    relation = None
    while relation is None:  # preparing may take longer, too, and is further each time
        try:
            relation = connection.sql(LONG)
        except QueryTimeoutError:
            time.sleep(0.5)
    with pytest.raises(QueryTimeoutError, match=r"took longer than the 0\.5 seconds"):
        relation.fetchall()
    assert ends(lambda: not threads_of_calls())  # its program ended, after a small part of its turns
    patient = large(qtensor.connect(timeout=1000))
    still_works(patient)


def test_a_timeout_is_a_timeout_of_python() -> None:
    assert issubclass(QueryTimeoutError, TimeoutError)
    assert issubclass(QueryTimeoutError, QTensorError)


@pytest.mark.parametrize("timeout", [0, -1, "soon", float("nan"), []])
def test_no_timeout(timeout: object) -> None:
    with pytest.raises(DataError, match="timeout must be a number of seconds above 0"):
        qtensor.connect(timeout=timeout)  # type: ignore[arg-type]


def test_another_thread_interrupts(connection: qtensor.Connection) -> None:
    relation = connection.sql(LONG)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(relation.fetchall)
        assert ends(lambda: bool(threads_of_calls()))
        connection.interrupt()
        with pytest.raises(InterruptError, match="the query was interrupted"):
            waiting.result()
    assert ends(lambda: not threads_of_calls())
    still_works(connection)
    connection.interrupt()  # of nothing


def test_interrupted_while_it_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = large(qtensor.connect())
    query = f"SELECT sum(b), count(*), {os.getpid()} AS own FROM t WHERE a % 5 = 3"
    with ThreadPoolExecutor(1) as pool, compilation_held(monkeypatch) as began:
        waiting = pool.submit(lambda: connection.sql(query).fetchall())
        assert began.wait(60)
        connection.interrupt()
        with pytest.raises(InterruptError):
            waiting.result()
    assert connection.sql(query).fetchall()[0][1:] == (ROWS // 5, os.getpid())


def test_one_threads_compilation_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = large(qtensor.connect())
    still_works(connection)
    query = f"SELECT max(b + 17) - min(a), {os.getpid()} FROM t"
    with ThreadPoolExecutor(2) as pool:
        with compilation_held(monkeypatch) as began:
            waiting = pool.submit(lambda: connection.sql(query).fetchall())
            assert began.wait(60)
            still_works(connection)
            connection.execute("CREATE TABLE made AS SELECT 1 AS x")
            assert connection.execute("SELECT x FROM made").fetchall() == [(1,)]
            assert not waiting.done()
            same = pool.submit(lambda: connection.sql(query).fetchall())  # waits for the first
        assert waiting.result() == same.result() == [(ROWS - 1 + 17, os.getpid())]


def test_a_query_asked_by_two_threads_is_compiled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = large(qtensor.connect(threads=1))
    compiled, compile = [], compiling.compile_stablehlo
    monkeypatch.setattr(compiling, "compile_stablehlo", lambda *given: compiled.append(given) or compile(*given))
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda _: connection.sql("SELECT sum(a - b * 3) FROM t").fetchall(), range(4)))
    assert rows == rows[:1] * 4
    assert len(compiled) <= 1  # none if the cache on disk had it


def test_a_statement_that_was_stopped_changes_nothing(connection: qtensor.Connection) -> None:
    connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: connection.execute("INSERT INTO kept " + LONG))
        assert ends(lambda: bool(threads_of_calls()))
        time.sleep(1)
        connection.interrupt()
        with pytest.raises(InterruptError):
            waiting.result()
    assert connection.execute("INSERT INTO kept VALUES (2)").fetchall() == [(1,)]  # once the other let go of the table
    assert connection.execute("SELECT x FROM kept ORDER BY x").fetchall() == [(1,), (2,)]


def test_work_that_stops_at_once_was_interrupted_nevertheless(monkeypatch: pytest.MonkeyPatch) -> None:
    """The work may end, and its caller wake, before `interrupt` goes on."""
    calls, stop, began = Calls(None), ThreadCall.stop, threading.Event()

    def stop_and_linger(call: ThreadCall[None]) -> None:
        stop(call)
        call.thread.join()
        time.sleep(0.2)

    def work() -> None:
        began.set()
        while True:
            check()

    monkeypatch.setattr(ThreadCall, "stop", stop_and_linger)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(calls.run, work)
        assert began.wait(60)
        calls.interrupt()
        with pytest.raises(InterruptError):
            waiting.result()


@contextmanager
def ctrl_c_when(began: threading.Event) -> Iterator[None]:
    """Ctrl-C for this thread, once `began` is set."""

    def press() -> None:
        assert began.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            yield
    finally:
        thread.join()


def held_up(work: Callable[..., object], began: threading.Event, go_on: threading.Event) -> Callable[..., object]:
    """`work`, which begins and then hears nothing of Ctrl-C until `go_on`, as XLA's compiler and TensorFlow do."""

    def held(*arguments: object, **named: object) -> object:
        began.set()
        end = time.monotonic() + 30
        while not go_on.is_set() and time.monotonic() < end:
            with contextlib.suppress(KeyboardInterrupt):
                time.sleep(0.01)
        return work(*arguments, **named)

    return held


def test_ctrl_c_ends_the_call_of_a_trusted_artifact(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = {"a": np.arange(1_000)}
    qtensor.export(f"SELECT sum(a) * 3 + {os.getpid()} AS s FROM t", tmp_path / "q.qta", tables={"t": table})
    began, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(Programs, "_load", held_up(Programs._load, began, go_on))
    artifact = qtensor.load(tmp_path / "q.qta", isolated=False)
    with ctrl_c_when(began):
        artifact(table)
    assert not go_on.is_set()
    go_on.set()
    expected = [{"s": 3 * 999 * 500 + os.getpid()}]
    assert artifact(table).to_pylist() == artifact(table).to_pylist() == expected


def test_a_call_over_few_rows_needs_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    qtensor.export("SELECT count(*) AS n FROM t", tmp_path / "q.qta", tables={"t": {"a": np.arange(100_000)}})
    artifact = qtensor.load(tmp_path / "q.qta", isolated=False)
    started: list[threading.Thread] = []
    monkeypatch.setattr(calls, "start", lambda thread: (started.append(thread), thread.start()))
    for rows, threads in ((70_000, 1), (70_000, 2), (10, 3), (10, 3)):  # large, large, to be loaded, short
        assert artifact({"a": np.arange(rows)}).to_pylist() == [{"n": rows}]
        assert len(started) == threads


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    import keras

    path = tmp_path / "model.keras"
    keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="ones")]).save(path)
    return path


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # by Keras, when it saves
def test_ctrl_c_ends_the_registration_of_a_models_file(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = large(qtensor.connect())
    began, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(Registration, "imported", held_up(Registration.imported, began, go_on))
    with ctrl_c_when(began):
        connection.create_function("m", model_file)
    assert not go_on.is_set()
    go_on.set()
    assert ends(lambda: not threads_of_calls())
    with pytest.raises(DataError, match='no function "m" is registered'):
        connection.remove_function("m")  # what was abandoned registers nothing
    connection.create_function("m", model_file)
    assert connection.sql("SELECT m(2.0::FLOAT)").fetchall() == [(2.0,)]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_registration_ends_at_the_timeout(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = qtensor.connect(timeout=0.2)
    began, go_on = threading.Event(), threading.Event()
    monkeypatch.setattr(Registration, "imported", held_up(Registration.imported, began, go_on))
    with pytest.raises(QueryTimeoutError):
        connection.create_function("m", model_file)
    go_on.set()
    assert ends(lambda: not threads_of_calls())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_objects_are_taken_in_the_callers_thread(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody set for his thread holds: scopes of Keras, settings of JAX."""
    seen: list[threading.Thread] = []
    imported = Registration.imported
    monkeypatch.setattr(Registration, "imported", lambda self: (seen.append(threading.current_thread()), imported(self))[1])
    connection = qtensor.connect()
    connection.create_function("f", lambda x: x + 1)
    connection.create_function("trusted", model_file, trust=True)
    connection.create_function("file", model_file)
    assert [thread is threading.current_thread() for thread in seen] == [True, True, False]


OUT_OF_MEMORY = """
    import resource
    import numpy as np, qtensor
    connection = qtensor.connect(threads=1).register("t", {"a": np.arange(20_000_000) % 7})
    relation = connection.sql("SELECT a, sum(a) OVER (ORDER BY a) AS s FROM t ORDER BY s")
    relation.explain("hlo")  # compiled before there is too little memory
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 800_000_000,) * 2)
    try:
        relation.arrow()
    except qtensor.errors.CapacityError as error:
        print(str(error).partition(":")[0], connection.sql("SELECT max(a) FROM t LIMIT 1").fetchall() == [(6,)])
"""


def test_no_memory() -> None:
    done = run(OUT_OF_MEMORY)
    assert (done.returncode, done.stdout) == (0, "the query needs more memory than there is True\n"), done.stderr


INTERRUPTED = """
    import os, signal, threading, time
    import numpy as np, qtensor
    connection = qtensor.connect().register("t", {"a": np.arange(300_000) %% 300, "b": np.arange(300_000)})
    relation = connection.sql("%s")
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        relation.fetchall()
    except KeyboardInterrupt:
        print("interrupted", connection.sql("SELECT count(*) FROM t").fetchall(), flush=True)
"""

ABANDONED = """
    import os, signal, threading, time
    import numpy as np, qtensor
    connection = qtensor.connect(timeout=0.6).register("t", {"a": np.arange(1000), "b": np.arange(1000)})
    branches = " ".join(f"WHEN a < {n} AND b %% 7 = {n} THEN b + {n * 7 %% 1000}" for n in range(100))
    try:
        connection.sql(f"SELECT CASE {branches} END AS c%s FROM t").fetchall()
    except qtensor.errors.QueryTimeoutError as error:
        print("in time", flush=True)
"""


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, timeout=300)


def test_ctrl_c_ends_a_running_query_and_the_connection_lives() -> None:
    done = run(INTERRUPTED % LONG)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted [(300000,)]\n", "")


def test_a_process_ends_in_order_while_an_abandoned_query_is_compiled() -> None:
    done = run(ABANDONED % os.getpid())
    assert (done.returncode, done.stdout, done.stderr) == (0, "in time\n", "")


def nested(depth: int) -> dict[str, str]:
    return {
        "parentheses": f"SELECT {'(' * depth}a{')' * depth} FROM t",
        "calls": f"SELECT {'abs(' * depth}a{')' * depth} FROM t",
        "sums": f"SELECT {'+'.join(f'a * {number % 10}' for number in range(depth))} FROM t",
        "subqueries": f"SELECT * FROM {'(SELECT * FROM ' * depth}t{')' * depth}",
        "NOT": f"SELECT {'NOT ' * depth} (a = 1) FROM t",
        "CASE": f"SELECT {'CASE WHEN a = 1 THEN 2 ELSE ' * depth} a {' END' * depth} FROM t",
        "texts": f"SELECT {'||'.join(['s'] * depth)} FROM t",
        "UNION": " UNION ALL ".join(["SELECT a FROM t"] * (depth // 4)),
    }


@pytest.mark.parametrize("kind", nested(1))
def test_deep_queries(kind: str) -> None:
    """Ten times as deep as Python's own limit allows; DuckDB takes 900 parentheses."""
    rows = {"a": np.arange(3), "s": np.array(["x", "y", "z"], object)}
    limit = sys.getrecursionlimit()
    found = qtensor.connect().register("t", rows).sql(nested(300)[kind]).fetchall()
    assert (
        found
        == duckdb.execute(nested(300)[kind].replace("FROM t", "FROM (VALUES (0, 'x'), (1, 'y'), (2, 'z')) t(a, s)")).fetchall()
    )
    assert sys.getrecursionlimit() == limit


def test_deeper_than_anything() -> None:
    with pytest.raises(QTensorError, match="nested too deeply"):
        qtensor.sql(f"SELECT {'(' * 100_000}1{')' * 100_000}")


FORKED = """
    import multiprocessing, sys
    import numpy as np, qtensor
    def total(n):
        try:
            return qtensor.sql("SELECT sum(a) FROM t", t={"a": np.arange(n)}).fetchall()[0][0]
        except qtensor.errors.DataError as error:
            return str(error).partition(":")[0]
    if __name__ == "__main__":
        if sys.argv[-1] == "used":
            assert total(3) == 3
        with multiprocessing.get_context(sys.argv[-2]).Pool(2) as pool:
            print(pool.map(total, [10, 100]))
"""


@pytest.mark.parametrize(
    "method, before, found", [("fork", "", [45, 4950]), ("spawn", "used", [45, 4950]), ("fork", "used", None)]
)
def test_other_processes(tmp_path: Path, method: str, before: str, found: list[int] | None) -> None:
    """A fork has none of the threads of the process that it is a copy of: using qtensor in both is an error that says so."""
    program = tmp_path / "program.py"
    program.write_text(dedent(FORKED))
    command = [sys.executable, "-W", "ignore", str(program), method, before]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    refused = ["this process was forked from one that used qtensor, whose threads it does not have"] * 2
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{found or refused}\n", "")
