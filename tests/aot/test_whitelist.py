"""What StableHLO of strangers may have: everything that exports write, and nothing that hurts whoever compiles and runs it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest

from qtensor.aot.isolated.screening import check_programs
from qtensor.aot.machine.runtime import portable_stablehlo
from tests.aot.exports import Exports
from tests.aot.files import parts_of
from tests.aot.programs import bytes_of, text_of

VECTOR = jax.ShapeDtypeStruct((8,), np.float32)


def program(body: str, more: str = "") -> bytes:
    """A function of a vector of 64-bit numbers, %x, that gives one, %y."""
    return bytes_of(
        f"module {{\n func.func public @main(%x: tensor<8xi64>) -> tensor<8xi64> {{\n{body}\n return %y : tensor<8xi64> }}\n{more} }}"
    )


def sort(comparator: str, stable: bool = True, types: str = "tensor<i64>") -> str:
    return f"""%y = "stablehlo.sort"(%x) <{{dimension = 0 : i64, is_stable = {str(stable).lower()}}}> ({{
      ^bb0(%a: {types}, %b: {types}):
      {comparator}
      stablehlo.return %c : tensor<i1>
    }}) : (tensor<8xi64>) -> tensor<8xi64>"""


def compare(direction: str, left: str = "%a", right: str = "%b", name: str = "%c") -> str:
    return f"{name} = stablehlo.compare {direction}, {left}, {right}, SIGNED : (tensor<i64>, tensor<i64>) -> tensor<i1>"


SHIFTED = """%k = stablehlo.constant dense<62> : tensor<i64>
      %sa = stablehlo.shift_right_arithmetic %a, %k : tensor<i64>
      %sb = stablehlo.shift_right_arithmetic %b, %k : tensor<i64>
      """


def loop(condition: str, step: str = "%n = stablehlo.add %i, %one : tensor<i64>", start: str = "0", passed: str = "%m") -> str:
    """%i counts, %m is the bound, from 8."""
    return f"""%zero = stablehlo.constant dense<{start}> : tensor<i64>
    %bound = stablehlo.constant dense<8> : tensor<i64>
    %one = stablehlo.constant dense<1> : tensor<i64>
    %r:3 = stablehlo.while(%i = %zero, %m = %bound, %v = %x) : tensor<i64>, tensor<i64>, tensor<8xi64>
    cond {{
      {condition}
      stablehlo.return %c : tensor<i1>
    }} do {{
      {step}
      stablehlo.return %n, {passed}, %v : tensor<i64>, tensor<i64>, tensor<8xi64>
    }}
    %y = stablehlo.add %r#2, %x : tensor<8xi64>"""


BELOW = compare("LT", "%i", "%m")

GOOD = {
    "a sort": sort(compare("LT")),
    "a sort downwards": sort(compare("GT")),
    "a sort by a function of both sides": sort(SHIFTED + compare("LT", "%sa", "%sb")),
    "a loop": loop(BELOW),
    "a loop whose bound is computed": loop("%t = stablehlo.add %m, %m : tensor<i64>\n" + compare("LT", "%i", "%t")),
    "a loop with another condition": loop(
        compare("LT", "%i", "%m", "%p") + "\n" + compare("NE", "%i", "%m", "%q") + "\n%c = stablehlo.and %q, %p : tensor<i1>"
    ),
    "a loop of larger steps": loop(
        BELOW, "%two = stablehlo.constant dense<2> : tensor<i64>\n%n = stablehlo.add %two, %i : tensor<i64>"
    ),
}

BAD = {
    "an unstable sort": (sort(compare("LT"), stable=False), "not stable"),
    "a sort by an order that is not strict": (sort(compare("LE")), "no strict order"),
    "a sort by equality": (sort(compare("NE")), "no strict order"),
    "a sort by nothing": (sort("%c = stablehlo.constant dense<true> : tensor<i1>"), "no strict order"),
    "a sort of one side": (sort(compare("LT", "%a", "%a")), "does not compare the same"),
    "a sort of sides turned": (sort(compare("LT", "%b", "%a")), "does not compare the same"),
    "a sort of different sides": (sort(SHIFTED + compare("LT", "%sa", "%b")), "does not compare the same"),
    "a loop that does not count": (loop(BELOW, "%n = stablehlo.multiply %i, %one : tensor<i64>"), "may never end"),
    "a loop that counts by nothing": (loop(BELOW, "%n = stablehlo.add %i, %zero : tensor<i64>"), "may never end"),
    "a loop that counts back": (
        loop(BELOW, "%k = stablehlo.constant dense<-1> : tensor<i64>\n%n = stablehlo.add %i, %k : tensor<i64>"),
        "may never end",
    ),
    "a loop whose bound moves": (loop(BELOW, passed="%n"), "may never end"),
    "a loop until a value is met": (loop(compare("NE", "%i", "%m")), "may never end"),
    "a loop that goes on at its bound": (loop(compare("LE", "%i", "%m")), "may never end"),
    "a loop with no condition": (loop("%c = stablehlo.constant dense<true> : tensor<i1>"), "may never end"),
    "a loop with an alternative": (
        loop(
            compare("LT", "%i", "%m", "%p") + "\n" + compare("NE", "%i", "%m", "%q") + "\n%c = stablehlo.or %q, %p : tensor<i1>"
        ),
        "may never end",
    ),
    "a loop past the end of its type": (
        loop(
            "%e = stablehlo.constant dense<9223372036854775807> : tensor<i64>\n" + compare("LT", "%i", "%e"),
            "%k = stablehlo.constant dense<1000> : tensor<i64>\n%n = stablehlo.add %i, %k : tensor<i64>",
        ),
        "may never end",
    ),
    "2^60 numbers": (
        "%i = stablehlo.iota dim = 0 : tensor<1152921504606846976xi64>\n"
        "%y = stablehlo.slice %i [0:8] : (tensor<1152921504606846976xi64>) -> tensor<8xi64>",
        "it has a tensor of",
    ),
    "2^80 numbers": (
        "%i = stablehlo.iota dim = 0 : tensor<1099511627776x1099511627776xi8>\n"
        "%s = stablehlo.slice %i [0:1, 0:8] : (tensor<1099511627776x1099511627776xi8>) -> tensor<1x8xi8>\n"
        "%r = stablehlo.reshape %s : (tensor<1x8xi8>) -> tensor<8xi8>\n%y = stablehlo.convert %r : (tensor<8xi8>) -> tensor<8xi64>",
        "it has a tensor of",
    ),
    "complex numbers": (
        "%z = stablehlo.convert %x : (tensor<8xi64>) -> tensor<8xcomplex<f32>>\n%w = stablehlo.multiply %z, %z : tensor<8xcomplex<f32>>\n"
        "%r = stablehlo.real %w : (tensor<8xcomplex<f32>>) -> tensor<8xf32>\n%y = stablehlo.convert %r : (tensor<8xf32>) -> tensor<8xi64>",
        "a type that no query needs",
    ),
    "a number of the device": (
        "%p = stablehlo.partition_id : tensor<ui32>\n%q = stablehlo.convert %p : (tensor<ui32>) -> tensor<i64>\n"
        "%y = stablehlo.broadcast_in_dim %q, dims = [] : (tensor<i64>) -> tensor<8xi64>",
        "stablehlo.partition_id",
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_exports_could_write(name: str) -> None:
    check_programs([program(GOOD[name])])


@pytest.mark.parametrize("name", BAD)
def test_what_is_refused(name: str) -> None:
    body, message = BAD[name]
    with pytest.raises(ValueError, match=message):
        check_programs([program(body)])


def test_functions_that_call_themselves() -> None:
    call = "%y = func.call @f(%x) : (tensor<8xi64>) -> tensor<8xi64>"
    function = " func.func private @{}(%x: tensor<8xi64>) -> tensor<8xi64> {{\n{}\n return %y : tensor<8xi64> }}"
    twice = (
        "%z = func.call @{0}(%x) : (tensor<8xi64>) -> tensor<8xi64>\n%y = func.call @{0}(%z) : (tensor<8xi64>) -> tensor<8xi64>"
    )
    check_programs([program(call, function.format("f", GOOD["a loop"]))])
    with pytest.raises(ValueError, match="calls itself: f"):
        check_programs([program(call, function.format("f", call))])
    there = function.format("f", call.replace("@f", "@g")) + function.format("g", call)
    with pytest.raises(ValueError, match="calls itself"):
        check_programs([program(call, there)])
    names = ["f", *(f"f{number}" for number in range(40))]
    doubling = "\n".join(function.format(name, twice.format(called)) for name, called in itertools.pairwise(names))
    with pytest.raises(ValueError, match=r"more than .* operations"):
        check_programs([program(call, doubling + function.format(names[-1], "%y = stablehlo.add %x, %x : tensor<8xi64>"))])


def test_attributes_for_the_compiler() -> None:
    text = text_of(program("%y = stablehlo.add %x, %x : tensor<8xi64>"))
    for attribute in ("jax.buffer_donor = true", "tf.aliasing_output = 0 : i32", 'mhlo.sharding = "{maximal device=0}"'):
        with pytest.raises(ValueError, match="attributes that no query needs"):
            check_programs([bytes_of(text.replace("%arg0: tensor<8xi64>", f"%arg0: tensor<8xi64> {{{attribute}}}", 1))])


@pytest.mark.parametrize(
    "function",
    [
        lambda x: jnp.sort(x),
        lambda x: jnp.argsort(x),
        lambda x: jax.lax.fori_loop(0, 5, lambda i, y: y + x, x),
        lambda x: jax.lax.scan(lambda total, y: (total + y, total), jnp.float32(0), x)[1],
        lambda x: jax.lax.top_k(x, 2)[0],
        lambda x: jnp.arcsin(x) + jnp.sinh(x) + jax.lax.lgamma(x) + jax.scipy.special.erfinv(x) + jax.nn.gelu(x),
        lambda x: jnp.cumsum(x) + jnp.searchsorted(x, x, method="sort").astype(x.dtype),
        lambda x: convolved(x),
        lambda x: convolved(x, lhs_dilation=(3,), rhs_dilation=(2,), padding=[(5, 4)]),
    ],
)
def test_functions_of_jax(function: Callable[[jax.Array], jax.Array]) -> None:
    """Models that are JAX functions, as far as their loops and sorts are seen to be harmless."""
    check_programs([portable_stablehlo(jax.jit(function).lower(VECTOR))])


def convolved(x: jax.Array, **options: object) -> jax.Array:
    """`x` as eight pixels in one channel, or in groups as `options` say, and a kernel of three."""
    images, kernel = x.reshape(1, 1, 8), jnp.ones((1, 1, 3), x.dtype)
    found: jax.Array = jax.lax.conv_general_dilated(images, kernel, (1,), **{"padding": "SAME", **options})  # type: ignore[arg-type]
    return found


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda x: convolved(x, padding=[(1 << 40, -(1 << 40) + 8)]), "that no query needs"),
        (lambda x: convolved(x, padding=[(1 << 31, 0)], lhs_dilation=(1 << 16,))[..., :8], "a convolution over|of .* bytes"),
        (lambda x: convolved(x, lhs_dilation=(1 << 17,), padding=[(0, 0)]), "that no query needs"),
        (lambda x: jax.lax.conv_general_dilated(x.reshape(2, 1, 4), jnp.ones((2, 1, 3), x.dtype), (1,), "SAME", batch_group_count=2), "that no query needs"),
    ],
)  # fmt: skip
def test_convolutions_that_are_refused(function: Callable[[jax.Array], jax.Array], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_programs([portable_stablehlo(jax.jit(function).lower(VECTOR))])


def test_a_trusted_program_may_have_any_loop() -> None:
    endless = program(BAD["a loop with no condition"][0])
    check_programs([endless], trusted=True)
    with pytest.raises(ValueError, match="may never end"):
        check_programs([endless])


WINDOWS = [
    "SELECT id, sum(i16) OVER (ORDER BY id RANGE BETWEEN 3 PRECEDING AND CURRENT ROW) AS s FROM t",
    "SELECT id, min(i16) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS s FROM t",
    "SELECT id, mode(i8) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS s FROM t",
    "SELECT id, max(DISTINCT i8) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS s FROM t",
    "SELECT id, median(i8) OVER (ORDER BY id ROWS BETWEEN 3 PRECEDING AND 1 FOLLOWING) AS s FROM t",
    "SELECT g, median(i16) AS m, count(DISTINCT s) AS n, corr(y, i16) AS c, bit_xor(i16) AS b FROM t GROUP BY g",
    "SELECT asin(x / 1e9) AS a, lgamma(x) AS b, cosh(y) AS c, x ** 2 AS d, cbrt(x) AS e, round(x, 1) AS f, tan(x) AS g FROM t",
    "SELECT id, s FROM t ORDER BY s DESC, id LIMIT 9",
    "SELECT a.id FROM t a JOIN t b ON a.i8 = b.i8 ORDER BY 1",
]


@pytest.mark.parametrize("sql", WINDOWS)
def test_exported_programs(sql: str, exports: Exports, rows: pa.Table, tmp_path: Path) -> None:
    """Whatever loops and sorts a query is made of, a stranger may run it."""
    parts = parts_of(exports.path(sql, rows.slice(0, 300)))
    check_programs([content for name, content in parts.items() if name.endswith(".mlir")])
