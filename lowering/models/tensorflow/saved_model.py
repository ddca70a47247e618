"""SavedModels as their protocol buffer says they are, before TensorFlow loads them: loading one runs functions that are in it.

Resources are created and initialised, variables restored, and what has no variable inputs is folded when the graph is frozen: an
operator that writes a file writes it although nobody called the model. So every operator in graph and functions must be one that
computes, or that belongs to variables, calls and checkpoints.
"""

from __future__ import annotations

import importlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow.files import LARGEST_PART, read_plain_file
from qtensor.lowering.models.tensorflow.registry import OPS

# Operators with a state or an effect, or of texts and resources, that neither files nor Python nor other machines see.
PLUMBING = re.compile(
    r"Assert|Assign\w*Variable\w*|DisableCopyOnRead|Const|NoOp|Placeholder\w*|Identity|IdentityN|Print|PrintV2|"
    r"VarHandleOp|VarIsInitializedOp|VariableV2|VariableShape|ReadVariableOp|DestroyResourceOp|ResourceGather\w*|ResourceScatter\w*|"
    r"ResourceApply\w*|ResourceSparseApply\w*|(?:Stateful|Stateless)?(?:If|While|Case)|(?:Stateful)?PartitionedCall|"
    r"RandomUniform|RandomUniformInt|RandomStandardNormal|TruncatedNormal|Stateful\w*Normal\w*|StatefulUniform\w*|"
    r"RngReadAndSkip|RngSkip|HashTableV2|MutableHashTable\w*|LookupTable\w*V2|AnonymousHashTable|AnonymousMutableHashTable\w*|"
    r"(?:Empty)?TensorList\w*|TensorArray\w*V3|"
    r"AsString|ReduceJoin|(?:Static)?Regex(?:FullMatch|Replace)|String(?!Split\b)\w*|StringSplit|Substr|Unicode\w*|UnsortedSegmentJoin"
)
# Stateless to TensorFlow all the same: they run Python, read files, send what they see to an address, or are another compiler's.
FORBIDDEN = re.compile(
    r"_.*|.*Py(?:Func|thon).*|Eager.*|.*(?:File|Dataset|Iterator|Reader|Host|Nccl|Collective|Remote|Rpc|Worker|TRT|TPU|Tpu).*|"
    r"Xla.*|Debug.*|Custom.*|Copy.*|.*Launch.*|.*(?:Send|Recv|feed).*|Snapshot.*"
)
CHECKPOINTS = frozenset(("SaveV2", "RestoreV2", "MergeV2Checkpoints", "ShardedFilename", "ShardedFilespec"))
NUMBERS_ONLY = (7, 20, 21)  # DT_STRING, DT_RESOURCE, DT_VARIANT: what other operators neither take nor give

# What fills a table from a file: allowed where the file is one of the model's own assets.
FROM_FILE = "InitializeTableFromTextFileV2"

LARGEST_CONSTANT = 1 << 28  # values: a constant of one value is written as that and its shape


def check_saved_model(name: str, folder: Path, tf: Any) -> None:
    """Raise ModelError for a SavedModel that is not to be loaded: all such operators at once."""
    model = read_saved_model(name, folder)
    problems = sorted({*problems_of(model), *problems_of_assets(model, folder)})
    if problems:
        listed = "\n  ".join(problems)
        raise ModelError(
            f'model "{name}": the SavedModel in "{folder}" does more than compute, and is not loaded; if you trust who made it, '
            f"pass trust=True (--trust-models):\n  {listed}"
        )
    check_variables(name, folder, tf)


def read_saved_model(name: str, folder: Path) -> Any:
    """The protocol buffer of a SavedModel. Raises ModelError: it cannot be read."""
    module = importlib.import_module("tensorflow.core.protobuf.saved_model_pb2")
    text_format = importlib.import_module("google.protobuf.text_format")
    decoding = importlib.import_module("google.protobuf.message")
    model = module.SavedModel()
    try:
        if (folder / "saved_model.pb").exists():
            model.ParseFromString(read_plain_file(name, folder / "saved_model.pb", LARGEST_PART))
        else:
            text = read_plain_file(name, folder / "saved_model.pbtxt", LARGEST_PART)
            text_format.Parse(text.decode("utf-8"), model)
    except (decoding.DecodeError, text_format.ParseError, ValueError, RecursionError) as error:
        raise ModelError(f'model "{name}": the SavedModel in "{folder}" cannot be read: {error}') from error
    return model


def problems_of(model: Any) -> Iterator[str]:
    """What in a SavedModel keeps it from being loaded."""
    for graph in model.meta_graphs:
        definition = graph.graph_def
        functions = {function.signature.name: function for function in definition.library.function}
        # A SavedModel of objects is not run but by its functions; of one that TensorFlow 1 wrote, operators for checkpoints stand
        # in the graph, under a name of their own.
        of_objects = len(model.meta_graphs) == 1 and graph.HasField("object_graph_def")
        for node in definition.node:
            is_saver = of_objects or node.name.startswith("save")
            yield from problems_of_node(node, functions, may_save=is_saver)
        called = set(names_called(node for function in functions.values() for node in function.node_def))
        called_by_functions = frozenset(called)
        called.update(graph.object_graph_def.concrete_functions)
        if not of_objects:
            called.update(names_called(definition.node))
            yield from problems_of_start(graph)
        for function in functions.values():
            may_save = function.signature.name not in called
            # One that is called gets its arguments from whoever calls it.
            is_start = of_objects and function.signature.name not in called_by_functions
            assets = asset_arguments(graph, function) if is_start else frozenset()
            for node in function.node_def:
                if node.op != FROM_FILE or len(node.input) < 2 or node.input[1] not in assets:
                    yield from problems_of_node(node, functions, may_save=may_save)


def asset_arguments(graph: Any, function: Any) -> frozenset[str]:
    """The arguments of a function that are given the paths of the model's assets when it is loaded: those of its captures that
    are assets.
    """
    objects = graph.object_graph_def
    if function.signature.name not in objects.concrete_functions:
        return frozenset()
    captured = objects.concrete_functions[function.signature.name].bound_inputs
    names = [argument.name for argument in function.signature.input_arg]
    kinds = [objects.nodes[number].WhichOneof("kind") if 0 <= number < len(objects.nodes) else None for number in captured]
    taken = names[len(names) - len(kinds) :] if len(kinds) <= len(names) else []
    return frozenset(name for name, kind in zip(taken, kinds, strict=False) if kind == "asset")


def problems_of_assets(model: Any, folder: Path) -> Iterator[str]:
    """Assets that are no files of the model: TensorFlow puts a name behind the folder `assets`, whatever it is."""
    for graph in model.meta_graphs:
        for asset in graph.asset_file_def:
            name = asset.filename
            path = folder / "assets" / name
            if name in ("", ".", "..") or Path(name).name != name or "\\" in name:
                yield f"the asset {name!r}, which is outside the model's folder"
            elif path.is_symlink() or path.parent.is_symlink() or not path.is_file():
                yield f"the asset {name!r}, which is no plain file"
            elif path.stat().st_size > LARGEST_PART:
                yield f"the asset {name!r}, of {path.stat().st_size:,} bytes"


def problems_of_node(node: Any, functions: Mapping[str, Any], *, may_save: bool) -> Iterator[str]:
    if not (node.op in functions or is_harmless(node.op) or (may_save and node.op in CHECKPOINTS)):
        yield f"{node.op} (node {node.name})"
    if node.op == "PrintV2" and node.attr["output_stream"].s.startswith(b"file"):
        yield f"{node.op} (node {node.name}), into a file"
    if node.op == "Const":
        tensor = node.attr["value"].tensor
        size = math.prod(max(0, axis.size) for axis in tensor.tensor_shape.dim)
        if size > LARGEST_CONSTANT:
            yield f"Const (node {node.name}), of {size:,} values"


def is_harmless(op: str) -> bool:
    """Whether an operator computes numbers from numbers, or is one of those that TensorFlow needs around that."""
    if op in OPS or PLUMBING.fullmatch(op):
        return True
    registry = importlib.import_module("tensorflow.python.framework.op_def_registry")
    definition = registry.get(op)
    if definition is None or definition.is_stateful or FORBIDDEN.fullmatch(op):
        return False
    return not any(argument.type in NUMBERS_ONLY for argument in (*definition.input_arg, *definition.output_arg))


def names_called(nodes: Iterable[Any]) -> Iterator[str]:
    """The functions that nodes name: as their operator, or in an attribute."""
    for node in nodes:
        yield node.op
        for value in node.attr.values():
            if value.HasField("func"):
                yield value.func.name
            for function in value.list.func:
                yield function.name


def problems_of_start(graph: Any) -> Iterator[str]:
    """Operators for checkpoints among those that run when a SavedModel of TensorFlow 1 is loaded."""
    nodes = {node.name: node for node in graph.graph_def.node}
    pending = [name for key in ("saved_model_main_op", "legacy_init_op") for name in graph.collection_def[key].node_list.value]
    start = graph.signature_def["__saved_model_init_op"].outputs
    pending += [info.name for info in start.values()]
    seen: set[str] = set()
    while pending:
        name = pending.pop().lstrip("^").partition(":")[0]
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        if nodes[name].op in CHECKPOINTS:
            yield f"{nodes[name].op} (node {name}), when it is loaded"
        pending += nodes[name].input


def check_variables(name: str, folder: Path, tf: Any) -> None:
    """Raise ModelError where the file of variables cannot be read, or says that it holds more than it has bytes."""
    prefix = folder / "variables" / "variables"
    if not prefix.with_suffix(".index").exists():
        return  # a model may have none
    damaged = f'model "{name}": the variables of the SavedModel in "{folder}" cannot be read'
    for file in prefix.parent.iterdir():
        if not file.is_file():
            raise ModelError(f'{damaged}: "{file.name}" is no file')
    try:
        reader = tf.train.load_checkpoint(str(prefix))
        shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    except (tf.errors.OpError, ValueError, RuntimeError, TypeError) as error:
        raise ModelError(f"{damaged}: {error}") from error
    stated = sum(math.prod(shape) * max(1, types[key].size) for key, shape in shapes.items())
    there = sum(file.stat().st_size for file in prefix.parent.iterdir())
    if stated > there:
        raise ModelError(f"{damaged}: they should have {stated:,} bytes, and there are {there:,}")
