"""`.keras` and `.h5` files, looked at before Keras loads them: a zip of JSON and HDF5, or HDF5 with JSON in it, that may name
modules to import, hold code, name files to read, and sizes that no memory has.
"""

from __future__ import annotations

import importlib
import json
import lzma
import math
import re
import zipfile
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from qtensor.errors import ModelError
from qtensor.lowering.models.tensorflow.files import read_plain_file
from qtensor.lowering.models.tensorflow.hdf5_probe import problem_of_reading

LARGEST_FILE = 1 << 30  # bytes, packed and unpacked: 250 million weights
RATIO = 100  # how many times larger parts may be than the file, beyond what is small anyway
SMALL = 64 << 20
MOST_PARTS = 10_000
WEIGHTS = "model.weights.h5"
KERAS_FILES = (".keras", ".h5", ".hdf5")

# Where Keras's own layers, and what they are made of, come from; the rest of it downloads, saves and loads.
MODULES = re.compile(
    r"keras(?:\.src)?(?:\.(?:layers|models|activations|initializers|regularizers|constraints|optimizers|losses|metrics|ops|"
    r"dtype_policies|random|quantizers)(?:\.\w+)*|\.backend\.common\.keras_tensor)?"
)

# What zipfile, json and h5py raise for bytes that are not theirs.
_DAMAGE = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, EOFError, KeyError, OSError, ValueError, RecursionError,
    NotImplementedError, RuntimeError, TypeError,
)  # fmt: skip


def check_keras_file(name: str, path: Path, keras: Any) -> None:
    """Raise ModelError for a file that is not to be loaded. Whatever building its layers raises: their settings are wrong."""
    content = read_plain_file(name, path, LARGEST_FILE)
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            problem = next(problems_of_zip(archive, len(content)), None)
            if problem is None:
                config = json.loads(archive.read("config.json"))
                weights = archive.read(WEIGHTS) if WEIGHTS in archive.namelist() else b""
                custom, problem = custom_objects(config, keras)
                problem = problem or problem_of_weights(weights)
    except _DAMAGE as error:
        raise ModelError(f'model "{name}": the Keras file "{path}" cannot be read: {error}') from error
    refuse_problem(name, path, problem, config if problem is None else None, custom if problem is None else {}, keras)


def check_h5_file(name: str, path: Path, keras: Any) -> None:
    """The same for a file of HDF5 as Keras 1 to 3 write it: the layers stand in an attribute, as JSON."""
    content = read_plain_file(name, path, LARGEST_FILE)
    refuse_problem(name, path, problem_of_reading(content), None, {}, None)
    h5py = importlib.import_module("h5py")
    config: Any = None
    custom: dict[str, Any] = {}
    try:
        with h5py.File(BytesIO(content), "r") as file:
            if "model_config" not in file.attrs:
                raise ModelError(
                    f'model "{name}": the Keras file "{path}" holds weights without their layers: write it with model.save'
                )
            config = json.loads(file.attrs["model_config"])
        custom, problem = custom_objects(config, keras)
        problem = problem or problem_of_code(config) or problem_of_links(content)
    except _DAMAGE as error:
        raise ModelError(f'model "{name}": the Keras file "{path}" cannot be read: {error}') from error
    refuse_problem(name, path, problem, config, custom, keras)


def problem_of_code(config: Any) -> str | None:
    """Whether a configuration holds a function of Python's own, as a Lambda's."""
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
            if any(
                value.get(key) in ("Lambda", "__lambda__", "lambda")
                for key in ("class_name", "function_type", "output_shape_type")
            ):
                return "it holds code (a Lambda layer)"
    return None


def refuse_problem(name: str, path: Path, problem: str | None, config: Any, custom: dict[str, Any], keras: Any) -> None:
    """Raise ModelError for a problem, if there is one or building the layers shows one (keras None: it is not tried)."""
    if problem is None and keras is not None:
        # Keras remembers variables without values for each thread: those of a thread that ends are gone.
        with ThreadPoolExecutor(1) as pool:
            problem = pool.submit(problem_of_size, config, custom, keras).result()
    if problem is not None:
        raise ModelError(
            f'model "{name}": the Keras file "{path}" is not loaded: {problem}. If you trust whoever made it, pass trust=True '
            "(--trust-models)"
        )


def problems_of_zip(archive: zipfile.ZipFile, size: int) -> Iterator[str]:
    """What is wrong with the parts of a file of `size` bytes, as they are stated: none is unpacked."""
    parts = archive.infolist()
    names = [part.filename for part in parts]
    if len(names) > MOST_PARTS or len(set(names)) != len(names):
        yield "a name stands in it twice, or it has too many parts"
    outside = [part for part in names if part.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", part) or ":" in part]
    if outside:
        yield f"it has a part with the name {outside[0]!r}"
    if any(part.startswith("model.weights") and part != WEIGHTS for part in names):  # .npz holds pickles
        yield f"its weights are not in {WEIGHTS}"
    total = sum(part.file_size for part in parts)
    if total > LARGEST_FILE:
        yield f"unpacked it has {total:,} bytes; at most {LARGEST_FILE:,} are read"
    if total > max(SMALL, RATIO * size):
        yield f"unpacked its {size:,} bytes are {total:,}"


def custom_objects(config: Any, keras: Any) -> tuple[dict[str, Any], str | None]:
    """The classes and functions registered with Keras that a configuration names. The problem, if one is neither among them nor
    Keras's own: to find that, Keras would import a module.
    """
    found: dict[str, Any] = {}
    pending = [config]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
            module, kind, registered = (value.get(key) for key in ("module", "class_name", "registered_name"))
            own = keras.saving.get_registered_object(registered) if isinstance(registered, str) else None
            if isinstance(value.get("vocabulary"), str):  # beside those in the file: Keras would read it
                return found, f"a layer reads its vocabulary from the file {value['vocabulary']!r}"
            if own is not None:
                found |= {str(registered): own, str(kind): own}
            elif module is not None and "class_name" in value and not is_of_keras(module):
                register = "register that with keras.saving.register_keras_serializable"
                return found, f"it needs {kind!r} of the module {module!r}; {register}"
    return found, None


def is_of_keras(module: object) -> bool:
    """Whether a module holds parts of models: Keras's own, or the types of Python that stand in configurations."""
    return module == "builtins" or (isinstance(module, str) and MODULES.fullmatch(module) is not None)


def problem_of_size(config: Any, custom: dict[str, Any], keras: Any) -> str | None:
    """Whether the model's variables would take too much memory: it is built without any, in a scope of Keras's for that."""
    wanted = {key: value for key, value in config.items() if key != "compile_config"}
    with keras.StatelessScope(initialize_variables=False):
        if "module" in wanted:
            model = keras.saving.deserialize_keras_object(wanted, custom, safe_mode=True)
        else:  # as HDF5 has it
            legacy = importlib.import_module("keras.src.legacy.saving.saving_utils")
            model = legacy.model_from_config(wanted, custom)
        variables = list(getattr(model, "variables", ()))
    size = sum(math.prod(variable.shape) * jnp.dtype(variable.dtype).itemsize for variable in variables)
    return f"its variables take {size:,} bytes; at most {LARGEST_FILE:,} are allowed" if size > LARGEST_FILE else None


def problem_of_weights(content: bytes) -> str | None:
    """What is wrong with an HDF5 file: data in other files, or larger than the file that says it holds it."""
    if not content:
        return None
    return problem_of_reading(content) or problem_of_links(content)


def problem_of_links(content: bytes) -> str | None:
    """Data in other files, or larger than the file that says it holds it."""
    h5py = importlib.import_module("h5py")
    total = 0
    with h5py.File(BytesIO(content), "r") as file:
        pending = [file]
        seen = set()
        while pending:
            group = pending.pop()
            for key in group:
                link = group.get(key, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    return f"its weights {key!r} are a link to another place"
                found = group[key]
                if isinstance(found, h5py.Group):
                    place = h5py.h5o.get_info(found.id).addr
                    pending += [found] if place not in seen else []
                    seen.add(place)
                elif found.external or found.is_virtual:
                    return f"its weights {key!r} are in another file"
                else:
                    total += found.size * found.dtype.itemsize
    return f"its weights say that they have {total:,} bytes; at most {LARGEST_FILE:,} are read" if total > LARGEST_FILE else None
