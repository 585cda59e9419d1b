"""The numpy runner: what a network predicts, step by step and without an inference engine."""

from __future__ import annotations

from collections import Counter

import numpy as np

from skerry.errors import Unsupported
from skerry.model.graph import Network
from skerry.model.keras_file import F32
from skerry.model.layers.table import DROPPED
from skerry.model.numpy_layers import RULES


def predict(network: Network, batch: F32) -> F32:
    """The outputs [n, outputs] for inputs [n, height, width, channels], both float32.

    Independent of the ONNX conversion: neither its graph nor its folding is used.
    """
    values = {network.input: np.asarray(batch, np.float32)}
    readers = Counter(name for node in network.nodes for name in node.inputs)
    readers[network.output] += 1
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
    return np.asarray(values[network.output], np.float32)
