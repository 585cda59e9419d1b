"""Batch normalisation folded into the convolution before it: same numbers, fewer steps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from skerry.model.keras_file import F32
from skerry.model.layers.normalising import batch_statistics
from skerry.model.layers.options import activation
from skerry.model.network import Network, Node

# Which axes of which weight array are the output channels.
_KERNEL = {"Conv2D": 0, "DepthwiseConv2D": 0, "SeparableConv2D": 1, "Dense": 0}


def fold_batch_norm(network: Network) -> Network:
    """The network with each BatchNormalization gone whose only source is a linear convolution or Dense.

    Computed in float64, stored in float32: outputs differ by rounding only.
    """
    readers = Counter(name for node in network.nodes for name in node.inputs)
    by_name = {node.name: node for node in network.nodes}
    ends = {network.output, *network.others}
    gone: dict[str, str] = {}
    for node in network.nodes:
        source = by_name.get(node.inputs[0]) if node.kind == "BatchNormalization" else None
        if source and readers[source.name] == 1 and source.name not in ends and _foldable(source, node):
            by_name[source.name] = _folded(source, node)
            gone[node.name] = source.name
    nodes = tuple(
        replace(
            by_name[n.name], operands=tuple(gone.get(o, o) if isinstance(o, str) else o for o in n.operands)
        )
        for n in network.nodes
        if n.name not in gone
    )
    others = tuple(gone.get(name, name) for name in network.others)
    return replace(network, nodes=nodes, output=gone.get(network.output, network.output), others=others)


def _foldable(source: Node, norm: Node) -> bool:
    axis = norm.config.get("axis", -1)
    return source.kind in _KERNEL and activation(source) == "linear" and axis in (-1, 3, [-1], [3])


def _folded(source: Node, norm: Node) -> Node:
    gamma, beta, mean, variance = (np.asarray(a, np.float64) for a in batch_statistics(norm))
    scale = gamma / np.sqrt(variance + float(norm.config["epsilon"]))
    arrays = list(source.weights)
    place = _KERNEL[source.kind]
    kernel = arrays[place]
    factor = scale.reshape(kernel.shape[2:]) if source.kind == "DepthwiseConv2D" else scale
    arrays[place] = _single(kernel * factor)
    bias = arrays.pop() if source.config.get("use_bias", True) else np.zeros_like(mean)
    arrays.append(_single(beta + (bias - mean) * scale))
    return replace(source, weights=tuple(arrays), config={**source.config, "use_bias": True})


def _single(array: NDArray[np.float64]) -> F32:
    return np.asarray(array, np.float32)
