"""Programs of a file are read in another process before they are compiled: what breaks MLIR breaks that one."""

from __future__ import annotations

import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from qtensor.aot.isolated import screening
from qtensor.aot.isolated.screening import check_programs
from qtensor.aot.machine.runtime import portable_stablehlo

VECTOR = jax.ShapeDtypeStruct((8,), np.float32)


def program(function: Callable[[jax.Array], object]) -> bytes:
    return portable_stablehlo(jax.jit(function).lower(VECTOR))


GOOD = program(lambda x: jnp.sort(x) + jax.lax.fori_loop(0, 3, lambda index, total: total + x[index], jnp.float32(0)))


def test_good_programs() -> None:
    check_programs([])
    check_programs([GOOD, program(jnp.sin), GOOD])


@pytest.mark.parametrize("content", [b"", b"hello", GOOD[:-20], b"ML\xefR" + bytes(50), bytes(10_000), b"module {}"])
def test_what_is_no_program(content: bytes) -> None:
    with pytest.raises(ValueError, match="it is no StableHLO"):
        check_programs([GOOD, content, GOOD])


def test_calls_out_of_the_program() -> None:
    for function in (lambda x: jax.pure_callback(lambda y: y, VECTOR, x), lambda x: jnp.linalg.eigh(jnp.outer(x, x))[0]):
        with pytest.raises(ValueError, match=r"it has operations that no query needs: stablehlo\.custom_call"):
            check_programs([GOOD, program(function)])


def test_a_check_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(screening, "_SECONDS", 1e-6)
        with pytest.raises(ValueError, match=r"it cannot be checked: .* timed out"):
            check_programs([GOOD])
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(ValueError, match="it cannot be checked"):
        check_programs([GOOD])


def test_bytes_at_random() -> None:
    """One program in a hundred of these ends a process that reads it: never ours."""
    random = np.random.default_rng(0)
    for _ in range(5):
        damaged = bytearray(GOOD)
        for position in random.integers(len(GOOD), size=3):
            damaged[position] = random.integers(256)
        try:
            check_programs([bytes(damaged)])
        except ValueError as error:
            assert str(error).startswith("it ")
