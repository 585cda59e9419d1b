"""The network as a flat list of layer applications, whatever nesting it was built with."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from skerry.errors import InvalidInput, Unsupported
from skerry.model.keras_file import F32, Json, WeightStore, read_saved
from skerry.model.network import ForeignLayer, Network, Node, Operand, image_shape, network_of

MODELS = ("Functional", "Sequential")
MIXED = ("mixed_float16", "mixed_bfloat16")
# Layers of keras.applications that are not in keras.layers, and are plain enough to be in our table.
_OF_APPLICATIONS = ("CustomScaleLayer", "LayerScale", "StochasticDepth")


def read_network(
    path: Path,
    size: tuple[int, int] | None = None,
    *,
    weights: Path | None = None,
    head: str | None = None,
) -> Network:
    """The network in the Keras file at ``path``; ``size`` (height, width) settles an open input size.

    ``weights`` are in a file of their own where ``path`` is JSON. ``head`` names the output that the labels
    are for where there are several; without it, that is the first. InvalidInput for what is no model or
    contradicts itself, Unsupported naming the layer for more than one input and for foreign classes.
    """
    saved = read_saved(path, weights)
    flattener = _Flattener(saved.weights)
    try:
        outputs = flattener.inline(saved.config, "", "", None)
        names = _output_names(saved.config, outputs)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as exc:
        raise InvalidInput(
            f"the config in {path.name} does not describe a Keras model: {exc!r}", path=str(path)
        ) from exc
    if len(flattener.inputs) != 1:
        raise Unsupported(
            f"{path.name} has {len(flattener.inputs)} inputs, not one",
            hint="build a model that takes one image",
            inputs=[name for name, _ in flattener.inputs],
        )
    name, shape = flattener.inputs[0]
    config = saved.config.get("config", {})
    network = network_of(
        flattener.nodes,
        name=str(config.get("name", path.stem)),
        input_name=name,
        shape=image_shape(name, shape, size),
        outputs=dict(zip(names, outputs, strict=True)),
        head=head,
        keras_version=saved.keras_version,
        parameters=sum(array.size for arrays in flattener.used.values() for array in arrays),
    )
    return replace(network, precision=max(flattener.precisions & set(MIXED), default="float32"))


def _output_names(model: Mapping[str, Json], outputs: Sequence[str]) -> list[str]:
    """What the outputs are called: by key where the model gives a dict, else by the layer."""
    ends = model["config"].get("output_layers") if model["class_name"] == "Functional" else None
    if isinstance(ends, Mapping):
        return [str(key) for key in ends]
    if ends is None:
        return list(outputs)
    names = [name for name, _, _ in _history(ends)]
    return names if len(set(names)) == len(names) else [f"output_{i}" for i in range(len(names))]


@dataclass
class _Flattener:
    store: WeightStore
    nodes: list[Node] = field(default_factory=list)
    inputs: list[tuple[str, Sequence[Json]]] = field(default_factory=list)
    used: dict[str, tuple[F32, ...]] = field(default_factory=dict)
    precisions: set[str] = field(default_factory=set)

    def inline(
        self, model: Mapping[str, Json], group: str, prefix: str, given: list[str] | None
    ) -> list[str]:
        """Append the model's nodes; ``given`` are its inputs, None for the outermost. Returns its outputs."""
        kind, config = _class(model, prefix), model["config"]
        if kind not in MODELS:
            raise Unsupported(
                f"{prefix or 'the model'} is a {kind}: only Functional and Sequential models are data",
                hint="rebuild it with keras.Model(inputs, outputs)",
                kind=kind,
            )
        self.precisions.add(_precision(prefix or str(config.get("name", "model")), config))
        groups = self._groups(config["layers"], group)
        scope = _Scope(self, groups, prefix, given)
        return scope.sequential(model) if kind == "Sequential" else scope.functional(config)

    def _groups(self, layers: Sequence[Mapping[str, Json]], container: str) -> dict[str, str]:
        counts: dict[str, int] = {}
        groups = {}
        for layer in layers:
            snake = _snake_case(str(layer["class_name"]))
            count = counts[snake] = counts.get(snake, -1) + 1
            fallback = f"{snake}_{count}" if count else snake
            name = str(layer["config"].get("name", ""))
            groups[name] = self.store.find(container, name, fallback)
        return groups

    def add(self, node: Node, group: str) -> str:
        arrays = self.store.arrays.get(group, ())
        self.used[group] = arrays
        self.nodes.append(replace(node, weights=arrays))
        return node.name


@dataclass
class _Scope:
    """One model being inlined."""

    flat: _Flattener
    groups: Mapping[str, str]
    prefix: str
    given: list[str] | None
    results: dict[tuple[str, int], list[str]] = field(default_factory=dict)

    def sequential(self, model: Mapping[str, Json]) -> list[str]:
        layers = model["config"]["layers"]
        if layers and layers[0]["class_name"] == "InputLayer":
            current = self._input(layers[0])
            layers = layers[1:]
        else:
            shape = model["config"].get("build_input_shape") or model.get("build_config", {}).get(
                "input_shape"
            )
            if self.given is None and not shape:
                raise InvalidInput("the Sequential model was never built", hint="call it once, then save it")
            current = self._open("input", shape or ())
        for layer in layers:
            current = self._apply(layer, 0, current)
        return current

    def functional(self, config: Mapping[str, Json]) -> list[str]:
        layers = {str(layer["name"]): layer for layer in config["layers"]}
        for name in _history(config["input_layers"]):
            self.results[name[0], name[1]] = self._input(layers[name[0]])
        waiting = [
            (name, index)
            for name, layer in layers.items()
            for index in range(len(layer["inbound_nodes"]))
            if (name, index) not in self.results
        ]
        while waiting:
            later = [key for key in waiting if not self._try(layers[key[0]], key)]
            if len(later) == len(waiting):
                raise InvalidInput(f"layer {later[0][0]!r} has inputs that nothing gives", layer=later[0][0])
            waiting = later
        return [
            # Keras counts a Functional's own inner node here, and only here.
            self.results[name, node - (layers[name]["class_name"] == "Functional")][tensor]
            for name, node, tensor in _history(config["output_layers"])
        ]

    def _try(self, layer: Mapping[str, Json], key: tuple[str, int]) -> bool:
        call = layer["inbound_nodes"][key[1]]
        if layer["class_name"] == "GetItem":
            layer = {**layer, "config": {**layer["config"], "key": call["args"][1]}}
            call = {"args": call["args"][:1], "kwargs": {}}
        operands = _operands(call, str(layer["name"]))
        if any(isinstance(o, tuple) and o[:2] not in self.results for o in operands):
            return False
        values = [self.results[o[0], o[1]][o[2]] if isinstance(o, tuple) else o for o in operands]
        self.results[key] = self._apply(layer, key[1], values)
        return True

    def _apply(self, layer: Mapping[str, Json], index: int, operands: Sequence[Operand]) -> list[str]:
        config = layer["config"]
        name = self.prefix + str(config["name"])
        kind = _class(layer, name)
        if kind in MODELS:
            inner = f"{name}#{index}/" if index else f"{name}/"
            names = [value for value in operands if isinstance(value, str)]
            return self.flat.inline(layer, self.groups[str(config["name"])], inner, names)
        self.flat.precisions.add(_precision(name, config))
        unique = f"{name}#{index}" if index else name
        return [
            self.flat.add(Node(unique, kind, config, (), tuple(operands)), self.groups[str(config["name"])])
        ]

    def _input(self, layer: Mapping[str, Json]) -> list[str]:
        config = layer["config"]
        return self._open(
            str(config["name"]), config.get("batch_shape") or config.get("batch_input_shape") or ()
        )

    def _open(self, name: str, shape: Sequence[Json]) -> list[str]:
        if self.given is not None:
            if not self.given:
                raise InvalidInput(f"the model {self.prefix!r} gets too few inputs", layer=self.prefix)
            return [self.given.pop(0)]
        self.flat.inputs.append((name, shape))
        return [name]


def _class(layer: Mapping[str, Json], name: str) -> str:
    """The class of a layer, with ``ops.`` for operations; Unsupported when it is not Keras' own."""
    kind, module = str(layer.get("class_name")), str(layer.get("module") or "keras")
    if kind == "Lambda":
        raise ForeignLayer(
            f"layer {name!r} is a Lambda: it is code, and code in model files is not run",
            hint="use a Keras layer such as Rescaling or Activation, or run it in Keras with --trust",
            layer=name,
            kind=kind,
        )
    if module.split(".")[0] not in ("keras", "keras2") and kind not in _OF_APPLICATIONS:
        raise ForeignLayer(
            f"layer {name!r} is a {kind} of {module}, not one of Keras' own",
            hint="its behaviour is code that is not in the file; name it: --custom module:name",
            layer=name,
            kind=kind,
        )
    if module.startswith("keras.src.ops"):
        return f"ops.{kind}"
    # Keras 3 writes no modules into .h5 files; only layers have a dtype in their config.
    bare = "module" not in layer and kind not in MODELS and "dtype" not in layer.get("config", {})
    return f"ops.{kind}" if bare and kind != "InputLayer" else kind


def _precision(name: str, config: Mapping[str, Json]) -> str:
    """What the layer computes in. Weights of mixed precision are float32, and so is what we make of it."""
    policy = config.get("dtype")
    if isinstance(policy, Mapping):
        policy = policy.get("config", {}).get("name")
    if policy not in (None, "float32", *MIXED):
        raise Unsupported(
            f"layer {name!r} computes in {policy}; only float32 and mixed precision are known",
            hint="save a float32 copy: build the model under the float32 policy and set its weights",
            layer=name,
        )
    return str(policy or "float32")


def _history(references: Json) -> list[tuple[str, int, int]]:
    """``["image", 0, 0]`` or a list or dict of such, as a list."""
    if isinstance(references, Mapping):
        return [item for value in references.values() for item in _history(value)]
    if references and isinstance(references[0], str):
        return [(references[0], int(references[1]), int(references[2]))]
    return [item for value in references for item in _history(value)]


def _operands(call: Mapping[str, Json], name: str) -> list[tuple[str, int, int] | float | F32]:
    found: list[tuple[str, int, int] | float | F32] = []

    def walk(value: Json) -> None:
        kind = value.get("class_name") if isinstance(value, Mapping) else None
        if kind == "__keras_tensor__":
            found.extend(_history(value["config"]["keras_history"]))
        elif kind in ("__numpy__", "__tensor__"):
            found.append(np.asarray(value["config"]["value"], np.float32))
        elif isinstance(value, list | tuple):
            for item in value:
                walk(item)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(value))
        elif value is not None:
            raise Unsupported(
                f"layer {name!r} is called with {value!r}, which is not known",
                hint="give it tensors and numbers only",
                layer=name,
            )

    walk(call["args"])
    if any(
        isinstance(v, Mapping) and v.get("class_name") == "__keras_tensor__" for v in call["kwargs"].values()
    ):
        raise Unsupported(
            f"layer {name!r} takes a tensor by keyword, which is not known",
            hint="give it as the first argument",
            layer=name,
        )
    return found


def _snake_case(name: str) -> str:
    """Keras' own rule (keras.src.utils.naming), so that group names agree."""
    name = re.sub(r"\W+", "", name)
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()
