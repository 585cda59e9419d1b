"""The program that runs a model in real Keras; it is started as a file, in a Python that has Keras.

Arguments: the job (JSON), inputs (.npz with ``x``), outputs (.npz). Imports nothing of ours.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from typing import Any

BATCH = 8
NO_KERAS = 3
# Calls that look at the values one after another would never end on a model this deep.
RECURSION_MAX = 10_000


def main(job_path: str, inputs_path: str, outputs_path: str) -> int:
    """Predict or trace, and save; exit code 3 when Keras or its backend is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        import keras
        import numpy as np
    except ImportError as exc:
        sys.stderr.write(f"{exc}\n")
        return NO_KERAS
    sys.setrecursionlimit(RECURSION_MAX)
    with open(job_path, encoding="utf-8") as file:
        job = json.load(file)
    model, shape, version = load(job, keras)
    if job["task"] == "trace":
        np.savez(outputs_path, version=np.array(version), **trace(model, shape, job["size"]))
        return 0
    x = np.load(inputs_path)["x"]
    outputs = [answer(model(x[i : i + BATCH]), job) for i in range(0, len(x), BATCH)]
    np.savez(outputs_path, y=np.concatenate(outputs), version=np.array(version))
    return 0


def load(job: dict[str, Any], keras: Any) -> tuple[Callable[[Any], dict[str, Any]], list[Any], str]:
    """A function from a batch to outputs by name, the input's shape, and Keras' version."""
    path = job["model"]
    for custom in job["custom"]:
        module, _, name = custom.rpartition(":")
        sys.path.insert(0, os.getcwd())
        found = getattr(_module(module), name)
        keras.saving.get_custom_objects()[name] = found
    if job["architecture"]:
        module, _, name = job["architecture"].rpartition(":")
        model = getattr(_module(module), name)()
        model.load_weights(path)
    elif os.path.isdir(path):
        return _saved_model(path)
    elif job["weights"]:
        model = _either(lambda k: _from_json(k, path, job["weights"]), keras)
    else:
        options = {"safe_mode": False} if job["trust"] else {}
        model = _either(lambda k: k.models.load_model(path, compile=False, **options), keras)
    version = keras.__version__
    if single_precision(model):
        version += " in float32"
    if type(model).__module__.startswith("tf_keras"):
        version = _module("tf_keras").__version__
    return _by_name(model), list(model.input_shape), version


def single_precision(model: Any) -> bool:
    """Let a model of mixed precision compute in float32, in which its weights are; whether it was one."""
    layers = list(model._flatten_layers()) if hasattr(model, "_flatten_layers") else []
    mixed = [layer for layer in layers if str(_policy(layer)).startswith("mixed_")]
    for layer in mixed:
        layer.dtype_policy = "float32"
    return bool(mixed)


def _policy(layer: Any) -> Any:
    return getattr(getattr(layer, "dtype_policy", None), "name", "")


def _module(name: str) -> Any:
    """A module by file name or by import name."""
    if not name.endswith(".py"):
        return importlib.import_module(name)
    sys.path.insert(0, os.path.dirname(os.path.abspath(name)))
    spec = importlib.util.spec_from_file_location("architecture", name)
    if spec is None or spec.loader is None or not os.path.isfile(name):
        raise ImportError(f"there is no {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _either(load_with: Callable[[Any], Any], keras: Any) -> Any:
    """By Keras 3; what that cannot load, by tf_keras (Keras 2) where it is installed."""
    keras.saving.get_custom_objects().update(_application_layers())
    try:
        return load_with(keras)
    except (TypeError, ValueError, KeyError, AttributeError, RuntimeError, IndexError):
        if importlib.util.find_spec("tf_keras") is None:
            raise
        return load_with(_module("tf_keras"))


def _application_layers() -> dict[str, Any]:
    """Layers of keras.applications that .h5 files name and keras.layers does not have."""
    from keras.src.applications.convnext import LayerScale, StochasticDepth
    from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

    return {kind.__name__: kind for kind in (LayerScale, StochasticDepth, CustomScaleLayer)}


def _from_json(keras: Any, path: str, weights: str) -> Any:
    with open(path, encoding="utf-8") as file:
        model = keras.models.model_from_json(file.read())
    model.load_weights(weights)
    return model


def _by_name(model: Any) -> Callable[[Any], dict[str, Any]]:
    def run(x: Any) -> dict[str, Any]:
        made = model(x, training=False)
        if isinstance(made, dict):
            return dict(made)
        if isinstance(made, list | tuple):
            names = getattr(model, "output_names", None) or ()
            if len(set(names)) != len(made):
                names = [f"output_{i}" for i in range(len(made))]
            return dict(zip(names, made, strict=True))
        return {"output": made}

    return run


def _saved_model(path: str) -> tuple[Callable[[Any], dict[str, Any]], list[Any], str]:
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    signatures = loaded.signatures
    if not signatures:
        raise ValueError("the SavedModel has no signature")
    signature = signatures[min(signatures, key=lambda key: key != "serving_default")]
    (name, spec), *more = signature.structured_input_signature[1].items()
    if more:
        raise ValueError(f"the SavedModel takes {1 + len(more)} inputs, not one")

    def run(x: Any, kept: Any = loaded) -> dict[str, Any]:
        # ``kept`` holds the variables: a signature alone does not keep them alive.
        return dict(signature(**{name: tf.cast(x, spec.dtype)}))

    return run, spec.shape.as_list(), f"SavedModel, TensorFlow {tf.__version__}"


def answer(outputs: dict[str, Any], job: dict[str, Any]) -> Any:
    """The numbers of the outputs that the job names, one after the other."""
    import numpy as np

    names = job["heads"] or [job["head"]]
    return np.concatenate([np.asarray(head(outputs, name), np.float32) for name in names], axis=1)


def head(outputs: dict[str, Any], name: str | None) -> Any:
    if name is None:
        return next(iter(outputs.values()))
    if name not in outputs:
        raise KeyError(f"the model has no output {name!r}, only {', '.join(outputs)}")
    return outputs[name]


def trace(model: Callable[[Any], dict[str, Any]], shape: list[Any], size: Any) -> dict[str, Any]:
    """The model's inference graph as data: ``graph`` (JSON) and the constants it names."""
    import numpy as np
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    if len(shape) == 4 and size is not None:
        shape = [None, *size, shape[3]]
    spec = tf.TensorSpec([None, *shape[1:]], tf.float32, name="image")
    function = tf.function(lambda image: model(image), input_signature=[spec])
    try:
        frozen = convert_variables_to_constants_v2(function.get_concrete_function())
    except ValueError as exc:
        if "AssignVariableOp" not in str(exc):
            raise
        raise ValueError("it changes itself when it predicts; export it with training=False") from exc
    operations = frozen.graph.get_operations()
    fixed: set[str] = set()
    for op in operations:
        if op.type == "Const" or (op.inputs and all(t.name in fixed for t in op.inputs)):
            fixed.update(t.name for t in op.outputs)
    live = [op for op in operations if not all(t.name in fixed for t in op.outputs)]
    wanted = sorted({t.name for op in live for t in op.inputs if t.name in fixed})
    # Inlined functions leave control edges from the image to constants, so it has to be fed, with anything.
    nothing = np.zeros([1, *shape[1:]], np.float32)
    with tf.compat.v1.Session(graph=frozen.graph) as session:
        values = session.run(wanted, {frozen.inputs[0].name: nothing})
    outputs = frozen.structured_outputs
    # TensorFlow lists the values of a dict in the order of its sorted keys.
    names = sorted(outputs) if isinstance(outputs, dict) else ["output"]
    document = {
        "input": frozen.inputs[0].name,
        "shape": [None, *shape[1:]],
        "outputs": {n: t.name for n, t in zip(names, frozen.outputs, strict=True)},
        "constants": wanted,
        "operations": [_operation(op) for op in live],
    }
    return {"graph": np.array(json.dumps(document)), **{f"c{i}": v for i, v in enumerate(values)}}


def _operation(op: Any) -> dict[str, Any]:
    options = {key: _plain(op.get_attr(key)) for key in op.node_def.attr if not key.startswith("_")}
    if op.inputs and op.inputs[0].shape.rank == 4:
        options["channels"] = op.inputs[0].shape[-1]
    return {
        "name": op.name,
        "kind": op.type,
        "inputs": [t.name for t in op.inputs],
        "shape": _sides(op.outputs[0].shape) if op.outputs else None,
        "options": options,
    }


def _sides(shape: Any) -> list[Any] | None:
    return None if shape.rank is None else list(shape.as_list())


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value if isinstance(value, bool | int | float | str) else str(value)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
