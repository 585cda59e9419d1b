"""The numpy runner: what a network predicts, step by step and without an inference engine."""

from __future__ import annotations

from collections import Counter

import numpy as np

from skerry.errors import Unsupported
from skerry.model.keras_file import F32
from skerry.model.layers.table import DROPPED
from skerry.model.network import Network
from skerry.model.numpy_layers import RULES


def predict(network: Network, batch: F32) -> F32:
    """The numbers of all outputs, one after the other, [n, numbers] for [n, height, width, channels].

    Independent of the ONNX conversion: neither its graph nor its folding is used.
    """
    return np.concatenate(predict_all(network, batch), axis=1)


def predict_all(network: Network, batch: F32) -> tuple[F32, ...]:
    """As ``predict``, output by output."""
    values = {network.input: np.asarray(batch, np.float32)}
    readers = Counter(name for node in network.nodes for name in node.inputs)
    readers.update((network.output, *network.others))
    for node in network.nodes:
        inputs = [values[name] for name in node.inputs]
        if node.kind in DROPPED:
            values[node.name] = inputs[0]
        elif node.kind in RULES:
            values[node.name] = RULES[node.kind](node, inputs)
        else:
            raise Unsupported(f"no numpy rule for {node.kind} ({node.name!r})", layer=node.name)
        readers.subtract(node.inputs)
        for name in node.inputs:
            if not readers[name]:
                values.pop(name, None)  # Large images through deep networks would not fit otherwise.
    return tuple(np.asarray(values[name], np.float32) for name in (network.output, *network.others))
