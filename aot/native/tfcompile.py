"""Programs from StableHLO to object files, by TensorFlow's ahead-of-time compiler. Run as a script, in a process of its own.

TensorFlow reads its XLA flags once, from the environment, and prints to standard error as it likes: a process of its own
leaves the user's alone. It is run by its path and imports nothing of qtensor (see `native/programs.py`, which starts it).

    python tfcompile.py FOLDER      reads FOLDER/programs.json, writes NAME.o, NAME_constants.o and NAME.h for each program
"""

from __future__ import annotations

import importlib.util
import json
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

CALL_MODULE_VERSION = 9  # of the operation XlaCallModule: the attributes set below are all that it has
PRODUCER = 2_000  # of graphs: a version in which all that is used here was there

DTYPES = {"bool": "BOOL", "float32": "FLOAT", "float64": "DOUBLE"}  # the others are called as NumPy calls them


def main(folder: Path) -> None:
    """Compile the programs; after each print its name, so that the caller can show progress."""
    skip_initialisation("tensorflow", "tensorflow.python")
    description = json.loads((folder / "programs.json").read_text())
    for program in description["programs"]:
        compile_program(folder, program, description["triple"], description["cpu"])
        print(program["name"], flush=True)


def skip_initialisation(*packages: str) -> None:
    """Let modules of these packages be imported without the packages' own: one second instead of five."""
    for name in packages:
        found = importlib.util.find_spec(name)
        if found is None or found.submodule_search_locations is None:
            sys.exit(f"there is no package {name}")
        package = types.ModuleType(name)
        package.__path__ = list(found.submodule_search_locations)
        sys.modules[name] = package


def compile_program(folder: Path, program: dict[str, Any], triple: str, cpu: str) -> None:
    """Write the object files and the header of one program."""
    from tensorflow.python import _pywrap_tfcompile

    name = program["name"]
    module = (folder / f"{name}.stablehlo").read_bytes()
    graph = folder / f"{name}.pb"
    config = folder / f"{name}.pbtxt"
    graph.write_bytes(graph_of(module, program["arguments"], program["results"]))
    config.write_text("\n".join(config_of(program["arguments"], program["results"])))
    _pywrap_tfcompile.Compile(
        graph=str(graph),
        config=str(config),
        cpp_class=program["class"],
        target_triple=triple,
        target_cpu=cpu,
        entry_point=f"entry_{program['class']}",
        out_function_object=str(folder / f"{name}.o"),
        out_header=str(folder / f"{name}.h"),
        out_metadata_object=str(folder / f"{name}_metadata.o"),
        out_constant_buffers_object=str(folder / f"{name}_constants.o"),
        gen_name_to_index=False,
        gen_program_shape=False,
    )


def graph_of(module: bytes, arguments: Sequence[Any], results: Sequence[Any]) -> bytes:
    """A serialised GraphDef: a placeholder for each argument, and one operation that calls the module.

    arguments, results: [dtype's name, shape] of each.
    """
    from tensorflow.core.framework import graph_pb2

    graph = graph_pb2.GraphDef()
    graph.versions.producer = PRODUCER
    for number, (dtype, shape) in enumerate(arguments):
        placeholder = graph.node.add(name=f"a{number}", op="Placeholder")
        placeholder.attr["dtype"].type = enumerated(dtype)
        add_dimensions(placeholder.attr["shape"].shape, shape)
    call = graph.node.add(name="call", op="XlaCallModule", input=[f"a{number}" for number in range(len(arguments))])
    call.attr["version"].i = CALL_MODULE_VERSION
    call.attr["module"].s = module
    call.attr["platforms"].list.s.append(b"CPU")
    call.attr["Tin"].list.type.extend(enumerated(dtype) for dtype, _ in arguments)
    call.attr["Tout"].list.type.extend(enumerated(dtype) for dtype, _ in results)
    for _, shape in results:
        add_dimensions(call.attr["Sout"].list.shape.add(), shape)
    for empty in ("dim_args_spec", "disabled_checks", "function_list"):
        call.attr[empty].list.SetInParent()
    call.attr["has_token_input_output"].b = False
    serialised: bytes = graph.SerializeToString()
    return serialised


def enumerated(dtype: str) -> int:
    """TensorFlow's number of a dtype."""
    from tensorflow.core.framework import types_pb2

    number: int = types_pb2.DataType.Value(f"DT_{DTYPES.get(dtype, dtype.upper())}")
    return number


def add_dimensions(shape: Any, sizes: Sequence[int]) -> None:
    """shape: a TensorShapeProto; without dimensions it is that of a scalar."""
    shape.SetInParent()
    for size in sizes:
        shape.dim.add(size=size)


def config_of(arguments: Sequence[Any], results: Sequence[Any]) -> Iterator[str]:
    """tfcompile's configuration: what is fed and what is fetched."""
    for number, (_, shape) in enumerate(arguments):
        dimensions = " ".join(f"dim {{ size: {size} }}" for size in shape)
        yield f'feed {{ id {{ node_name: "a{number}" }} shape {{ {dimensions} }} }}'
    for number in range(len(results)):
        yield f'fetch {{ id {{ node_name: "call" output_index: {number} }} }}'


if __name__ == "__main__":
    main(Path(sys.argv[1]))
