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
class Converted:
    """The ONNX file, the names of its ends, and the layers that were left out because they only train.

    ``output`` gives ``outputs`` numbers; ``others`` are the model's further outputs, behind it in the file.
    """

    onnx: bytes
    input: str
    output: str
    outputs: int
    dropped: tuple[str, ...]
    others: tuple[str, ...] = ()


def convert(network: Network) -> Converted:
    """The network as ONNX (opset 17): input ``[N, height, width, channels]``, output ``[N, outputs]``.

    Same network, same bytes. Unsupported names the first layer or option without a rule.
    """
    if network.onnx is not None:
        size = int(network.nodes[-1].config["units"])
        return Converted(network.onnx, network.input, network.output, size, (), network.others)
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
    results = []
    for wanted, name in zip((folded.output, *folded.others), (network.output, *network.others), strict=True):
        result = values[wanted]
        if len(result.shape) != 1:
            raise Unsupported(
                f"the model's output {name!r} has shape {result.shape}, not one number per class",
                hint="classifiers end in Dense or GlobalAveragePooling2D",
                shape=result.shape,
            )
        results.append((_named(out, result, name), result.shape[0]))
    others = tuple(name for name, _ in results[1:])
    return Converted(
        _bytes(network, out, results), network.input, *results[0], dropped=tuple(dropped), others=others
    )


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


def _bytes(network: Network, out: OnnxWriter, outputs: list[tuple[str, int]]) -> bytes:
    graph = helper.make_graph(
        out.nodes,
        network.name,
        [helper.make_tensor_value_info(network.input, TensorProto.FLOAT, ["N", *network.shape])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", size]) for name, size in outputs],
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
