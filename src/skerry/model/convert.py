"""From the network to ONNX bytes: float32, input in NHWC as in Keras, any batch size."""

from __future__ import annotations

from dataclasses import dataclass

import onnx
from onnx import TensorProto, helper

from skerry.errors import Unsupported
from skerry.model.fold import fold_batch_norm
from skerry.model.layers.table import DROPPED, EMIT
from skerry.model.network import Network
from skerry.model.onnx_writer import IR_VERSION, OPSET, OnnxWriter, Tensor


@dataclass(frozen=True, slots=True)
class Head:
    """One output of the file: its name there, the node that gives it, how many numbers it has."""

    name: str
    node: str
    size: int


@dataclass(frozen=True, slots=True)
class Converted:
    """The ONNX file, its ends, and the layers that were left out because they only train.

    ``heads`` are the outputs in the order of the file, the one that the labels are for first. ``litert`` is
    the model where it came as LiteRT: there is no ONNX then, which is made of layers.
    """

    onnx: bytes
    input: str
    heads: tuple[Head, ...]
    dropped: tuple[str, ...]
    litert: bytes | None = None


def convert(network: Network) -> Converted:
    """The network as ONNX (opset 17): input ``[N, height, width, channels]``, output ``[N, outputs]``.

    Same network, same bytes. Unsupported names the first layer or option without a rule.
    """
    if network.onnx is not None or network.litert is not None:
        ready = tuple(Head(node.name, node.name, int(node.config["units"])) for node in network.nodes)
        return Converted(network.onnx or b"", network.input, ready, (), network.litert)
    check_layers(network)
    folded = fold_batch_norm(network)
    out = OnnxWriter()
    out.enter(network.input)
    values = {network.input: out.from_keras(out.unique(""), network.shape)}
    dropped = []
    for node in folded.nodes:
        inputs = [values[name] for name in node.inputs]
        if node.kind in DROPPED:
            values[node.name] = inputs[0]
            dropped.append(node.name)
            continue
        out.enter(node.name)
        values[node.name] = EMIT[node.kind](out, node, inputs)
    heads = []
    ends = zip((folded.output, *folded.others), (network.output, *network.others), network.heads, strict=True)
    for wanted, node_name, name in ends:
        result = values[wanted]
        if len(result.shape) != 1:
            raise Unsupported(
                f"the model's output {name!r} has shape {result.shape}, not one number per class",
                hint="classifiers end in Dense or GlobalAveragePooling2D",
                shape=result.shape,
            )
        heads.append(Head(_named(out, result, name), node_name, result.shape[0]))
    return Converted(_bytes(network, out, heads), network.input, tuple(heads), tuple(dropped))


def check_layers(network: Network) -> None:
    """Unsupported naming every class of layer that has no rule, before any work is done."""
    unknown = {
        node.kind: node.name for node in network.nodes if node.kind not in EMIT and node.kind not in DROPPED
    }
    if unknown:
        named = ", ".join(
            f"{kind.replace('ops.', 'operation ')} ({name!r})" for kind, name in unknown.items()
        )
        raise Unsupported(
            f"no rule for {named}",
            hint="replace the layer, or open an issue with the model's summary",
            kinds=sorted(unknown),
            layers=sorted(unknown.values()),
        )


def _named(out: OnnxWriter, result: Tensor, name: str) -> str:
    """The output under the name of the layer that gives it."""
    out.enter(name)
    final = out.unique("")
    out.nodes.append(helper.make_node("Identity", [result.name], [final], name=f"{final}/output"))
    return final


def _bytes(network: Network, out: OnnxWriter, heads: list[Head]) -> bytes:
    graph = helper.make_graph(
        out.nodes,
        network.name,
        [helper.make_tensor_value_info(network.input, TensorProto.FLOAT, ["N", *network.shape])],
        [helper.make_tensor_value_info(head.name, TensorProto.FLOAT, ["N", head.size]) for head in heads],
        out.constants,
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="skerry",
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
