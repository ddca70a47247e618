"""Settings of all tests: JAX at its strictest, hypothesis reproducible, caches of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import hypothesis
import jax
import pytest

# Silent promotions of dtype and rank are where a lowering that is right by luck hides.
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

hypothesis.settings.register_profile("ci", derandomize=True, deadline=None, database=None, print_blob=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the plans of tests/goldens anew")


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What an earlier run or the user's own work has cached must not decide whether a test passes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QTENSOR_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setenv("QTENSOR_TRUST", str(tmp_path_factory.mktemp("trust")))
        yield
