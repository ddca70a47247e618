"""StableHLO written by hand, as an attacker may write it: text to the bytes that an artifact holds."""

from __future__ import annotations

import io
import re

import jax
import jax.numpy as jnp
from jaxlib import xla_client
from jaxlib.mlir import ir
from jaxlib.mlir.dialects import stablehlo


def text_of(program: bytes) -> str:
    """A part of an artifact as text."""
    with context() as known:
        return str(stablehlo.deserialize_portable_artifact(known, program))


def bytes_of(text: str) -> bytes:
    """The part of an artifact that a text is."""
    version = stablehlo.get_version_from_compatibility_requirement(stablehlo.StablehloCompatibilityRequirement.WEEK_12)
    memory = io.BytesIO()
    with context():
        ir.Module.parse(text).operation.write_bytecode(memory)
    written: bytes = vars(xla_client)["_xla"].mlir.serialize_portable_artifact(memory.getvalue(), version)
    return written


def context() -> ir.Context:
    """One that knows all dialects: that of a program of JAX."""
    return jax.jit(jnp.sin).lower(1.0).compiler_ir("stablehlo").context


def with_first(text: str, code: str) -> str:
    """A program whose main function begins with `code`, and takes %zz of it, an i32, for the number of rows."""
    start = text.index("{\n", text.index("func.func public @main")) + 2
    rows = re.findall(r"(%arg\d+): tensor<i32>", text[:start])[-1]
    end = text.index("\n  }\n", start)
    return text[:start] + code + "\n" + re.sub(rf"{rows}\b", "%zz", text[start:end]) + text[end:]
