"""Keras 2's way to write a model down, turned into Keras 3's: a pure change of documents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Any
_MODELS = {"Functional": "Functional", "Model": "Functional", "Sequential": "Sequential"}
_RENAMED = {"BatchNormalizationV1": "BatchNormalization", "BatchNormalizationV2": "BatchNormalization"}
# Kept apart: Keras 3 gave the name to another function, from clip(0.2 x + 0.5, 0, 1) to relu6(x + 3) / 6.
_ACTIVATIONS = {"hard_sigmoid": "keras2_hard_sigmoid"}
_OPERATIONS = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
    "math.truediv": "TrueDivide",
    "math.divide": "TrueDivide",
    "math.maximum": "Maximum",
    "math.minimum": "Minimum",
    "math.reduce_mean": "Mean",
    "math.reduce_max": "Max",
    "math.reduce_sum": "Sum",
    "math.sqrt": "Sqrt",
    "math.square": "Square",
    "math.exp": "Exp",
    "math.abs": "Absolute",
    "math.negative": "Negative",
    "nn.bias_add": "Add",
    "__operators__.getitem": "GetItem",
    "concat": "Concatenate",
    "stack": "Stack",
    "reshape": "Reshape",
    "transpose": "Transpose",
    "compat.v1.transpose": "Transpose",
    "nn.relu": "Relu",
    "nn.relu6": "Relu6",
    "nn.sigmoid": "Sigmoid",
    "math.sigmoid": "Sigmoid",
    "math.tanh": "Tanh",
    "nn.tanh": "Tanh",
    "nn.silu": "Silu",
    "nn.swish": "Silu",
    "nn.softmax": "Softmax",
    "nn.gelu": "Gelu",
}
_SECOND = ("y", "bias", "x2")


def modernised(model: Mapping[str, Json]) -> dict[str, Json]:
    """The config of a Functional or Sequential model of Keras 2 (or 1) as Keras 3 would have written it."""
    kind = _MODELS.get(str(model["class_name"]))
    if kind is None:
        return {**model, "module": model.get("module") or "keras2", "config": model.get("config", {})}
    config = model["config"]
    if isinstance(config, list):  # Keras 1 and early 2 wrote a Sequential as the bare list of its layers.
        config = {"name": "sequential", "layers": config}
    nested = {
        str(layer["config"]["name"])
        for layer in config["layers"]
        if layer["class_name"] in _MODELS and "name" in layer["config"]
    }
    sequential = {n for n in nested if _layer(config, n)["class_name"] == "Sequential"}
    layers = [_modern_layer(layer, nested) for layer in config["layers"]]
    if kind == "Sequential":
        return {**model, "module": "keras", "class_name": kind, "config": {**config, "layers": _led(layers)}}
    # In Keras 3's documents only a Functional counts its own inner node, and only at the end.
    ends = [
        [name, node - (str(name) in sequential), tensor] for name, node, tensor in config["output_layers"]
    ]
    outer = {**config, "layers": layers, "output_layers": ends}
    return {**model, "module": "keras", "class_name": kind, "config": outer}


def _layer(config: Mapping[str, Json], name: str) -> Mapping[str, Json]:
    found: Mapping[str, Json] = next(x for x in config["layers"] if x["config"].get("name") == name)
    return found


def _led(layers: list[dict[str, Json]]) -> list[dict[str, Json]]:
    """A Sequential's layers, led by an InputLayer where the first one (or the first of a nested model) knows
    the shape."""
    first = layers[0] if layers else None
    inner = first
    while inner is not None and inner["class_name"] in _MODELS:
        inner = inner["config"]["layers"][0] if inner["config"]["layers"] else None
    if first is None or inner is None or first["class_name"] == "InputLayer":
        return layers
    shape = inner["config"].get("batch_input_shape") or inner["config"].get("batch_shape")
    if not shape:
        return layers
    name = f"{first['config']['name']}_input"
    lead = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"name": name, "batch_shape": shape},
    }
    return [lead, *layers]


def _modern_layer(layer: Mapping[str, Json], nested: set[str]) -> dict[str, Json]:
    kind = str(layer["class_name"])
    if kind in _MODELS:
        modern = modernised(layer)
    elif kind in ("TFOpLambda", "SlicingOpLambda"):
        modern = _operation(layer)
    else:
        config = dict(layer["config"])
        if str(config.get("activation")) in _ACTIVATIONS:
            config["activation"] = _ACTIVATIONS[config["activation"]]
        foreign = not str(layer.get("module") or "keras").startswith(("keras", "tf_keras")) or ">" in kind
        modern = {
            **layer,
            "module": str(layer.get("module")) if foreign else "keras.layers",
            "class_name": _RENAMED.get(kind, kind),
            "config": config,
        }
    modern["name"] = modern["config"].get("name")
    modern["inbound_nodes"] = [_call(node, nested, modern) for node in layer.get("inbound_nodes", [])]
    return modern


def _operation(layer: Mapping[str, Json]) -> dict[str, Json]:
    """A TensorFlow function in the graph; one we do not know keeps its name, to be refused by it."""
    function = str(layer["config"]["function"])
    kind = _OPERATIONS.get(function, f"tf.{function}")
    return {**layer, "module": "keras.src.ops", "class_name": kind, "config": dict(layer["config"])}


def _call(node: Json, nested: set[str], layer: dict[str, Json]) -> dict[str, Json]:
    """One call of a layer; options given at the call join the layer's config."""
    single = bool(node) and isinstance(node[0], str)
    entries = [node] if single else node
    tensors = [_argument(entry, nested) for entry in entries]
    options = dict(entries[0][3]) if entries and len(entries[0]) > 3 else {}
    args: list[Json] = [tensors[0]] if len(tensors) == 1 else [tensors]
    if layer["module"] == "keras.src.ops":
        for key in _SECOND:
            if options.get(key) is not None:
                args.append(_value(options.pop(key), nested))
        if "slice_spec" in options:
            args.append(options.pop("slice_spec"))
        renamed = {"shape": "newshape", "perm": "axes", "axis": "axis", "keepdims": "keepdims"}
        layer["config"].update({renamed.get(k, k): v for k, v in options.items() if k != "name"})
        if layer["class_name"] == "Gelu":
            layer["config"].setdefault("approximate", False)
    return {"args": args, "kwargs": {}}


def _argument(entry: Json, nested: set[str]) -> Json:
    if entry[0] == "_CONSTANT_VALUE":
        return entry[2]
    return _tensor(entry, nested)


def _value(value: Json, nested: set[str]) -> Json:
    """A second operand: a tensor ``["name", 0, 0]``, a number, or a list of numbers."""
    if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
        return _tensor(value, nested)
    if isinstance(value, list):
        return {"class_name": "__numpy__", "config": {"value": value, "dtype": "float32"}}
    return value


def _tensor(entry: Json, nested: set[str]) -> Json:
    # Keras 2 counts the node that a nested model has from its own making; Keras 3 does not.
    name, node, tensor = str(entry[0]), int(entry[1]), int(entry[2])
    history = [name, node - (name in nested), tensor]
    return {"class_name": "__keras_tensor__", "config": {"keras_history": history}}
