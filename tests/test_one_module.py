"""One query, one XLA module: filter, model and aggregation share one ENTRY, with no way back into Python or TensorFlow.

The one call out of it is libm's, at its beginning (`aot/machine/subnormals.py`).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import qtensor
from qtensor import datasets
from qtensor.aot.machine.subnormals import SET_ENVIRONMENT
from qtensor.lowering.storage.layout import CHUNK
from tests.headline import HEADLINE, trained_classifier

ROOT = Path(__file__).parents[1]


def headline(rows: int, threads: int) -> qtensor.Relation:
    connection = qtensor.connect(threads=threads).register("data", datasets.crime(rows))
    return connection.create_function("classifier", trained_classifier()).sql(HEADLINE)


def modules(hlo: str) -> list[str]:
    """The HLO modules in a text."""
    return re.findall(r"^HloModule (\w+)", hlo, re.MULTILINE)


def custom_calls(hlo: str) -> set[str]:
    return set(re.findall(r'custom_call_target="([^"]*)"', hlo))


@pytest.mark.parametrize("rows", [0, 200, 2_000])
def test_the_headline_query_is_one_module(rows: int) -> None:
    hlo = headline(rows, threads=2).hlo()
    assert len(modules(hlo)) == 1
    assert len(re.findall(r"^ENTRY ", hlo, re.MULTILINE)) == 1
    assert custom_calls(hlo) == {SET_ENVIRONMENT}
    assert "callback" not in hlo
    assert not re.search(r"\b(infeed|outfeed|send|recv)\(", hlo)


def test_several_shares_are_two_modules() -> None:
    """`partial` runs on each core over its share, `final` merges; one core needs but one module."""
    rows = 4 * CHUNK + 1
    hlo = headline(rows, threads=2).hlo()
    assert len(modules(hlo)) == 2
    assert len(re.findall(r"^ENTRY ", hlo, re.MULTILINE)) == 2
    assert custom_calls(hlo) == {SET_ENVIRONMENT}
    alone = headline(rows, threads=1).hlo()
    assert len(modules(alone)) == 1


def test_the_weights_are_no_constants() -> None:
    """They are arguments: another model of the same shape runs in the same program."""

    def scaled(factor: float) -> object:
        weight = jnp.float32(factor) * jnp.arange(1, 3, dtype=jnp.float32)
        return lambda a, b: a * weight[0] + b * weight[1]

    connection = qtensor.connect().register("t", {"a": np.array([1.0, 2.0]), "b": np.array([10.0, 20.0])})
    programs = []
    for factor in (1.0, 3.0):
        relation = connection.create_function("score", scaled(factor), dtype="float32").sql("SELECT score(a, b) FROM t")
        assert relation.fetchall() == [(21.0 * factor,), (42.0 * factor,)]
        programs.append(relation._prepare().compiled)
    assert programs[0] is programs[1]


def test_without_tensorflow_after_registration(tmp_path: Path) -> None:
    """A fresh process, nothing cached: TensorFlow is gone once the model is registered, and the query compiles and runs."""
    code = """
        import sys
        import qtensor
        from qtensor import datasets
        from tests.headline import HEADLINE, trained_classifier

        data = datasets.crime(2_000)
        expected = trained_classifier()(data.select(["murder", "assault", "population", "rape"]).to_pandas().to_numpy("float32")).numpy()
        connection = qtensor.connect().register("data", data).create_function("classifier", trained_classifier())

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("tensorflow", "keras", "tensorboard"):
                    raise ImportError(f"{name} is blocked")

        assert "tensorflow" in sys.modules
        trained_classifier.cache_clear()
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "keras")]:
            del sys.modules[name]
        sys.meta_path.insert(0, Blocked())
        try:
            import tensorflow
        except ImportError:
            pass
        else:
            raise AssertionError("TensorFlow is not blocked")

        rows = connection.sql(HEADLINE).fetchall()
        assert not any(module.from_cache for module in connection.sql(HEADLINE)._prepare().compiled.modules)
        for cluster, *counts in rows:
            assert counts == [int(((expected == k) & (data["cluster"].to_numpy() == cluster)).sum()) for k in range(4)], rows
        assert sum(map(sum, (row[1:] for row in rows))) == 2_000
        assert not [name for name in sys.modules if name.partition(".")[0] in ("tensorflow", "keras")]
        print("ran without TensorFlow")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "ran without TensorFlow"


def test_queries_without_models_never_import_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys, numpy, qtensor\n"
        "qtensor.sql('SELECT sum(x) FROM t', t={'x': numpy.arange(3)}).show()\n"
        "qtensor.connect().create_function('f', lambda x: x + 1)\n"
        "assert not {'tensorflow', 'keras', 'pandas', 'polars'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment(tmp_path), check=True, timeout=120, stdout=subprocess.DEVNULL
    )


def test_jax_stays_as_the_user_set_it() -> None:
    before = {
        name: getattr(jax.config, name) for name in ("jax_enable_x64", "jax_numpy_dtype_promotion", "jax_compilation_cache_dir")
    }
    devices = jax.devices()
    connection = qtensor.connect().register("t", {"x": np.arange(100_000, dtype=np.float64)})
    assert connection.create_function("f", lambda x: x * 2).sql("SELECT sum(f(x)) FROM t WHERE x > 1").fetchall()
    assert {name: getattr(jax.config, name) for name in before} == before
    assert before["jax_enable_x64"] is False
    assert jax.devices() == devices
    assert jnp.arange(3).dtype == jnp.int32
    assert (jnp.ones(2) * 2.0).dtype == jnp.float32


def environment(cache: Path) -> dict[str, str]:
    """A process's environment with a cache of its own."""
    return {**os.environ, "QTENSOR_CACHE": str(cache), "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
