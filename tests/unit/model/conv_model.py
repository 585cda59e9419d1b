"""A tiny convolutional network as ONNX, and the same in numpy."""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

F32 = NDArray[np.float32]
SIDE, FILTERS, CLASSES = 12, 8, 3


def _weights() -> tuple[F32, F32]:
    random = np.random.default_rng(0)
    kernel = random.normal(0, 0.4, (FILTERS, 3, 1, 1)).astype(np.float32)
    dense = random.normal(0, 1.5, (FILTERS, CLASSES)).astype(np.float32)
    return kernel, dense


def conv_model(bias: float = 0.0) -> bytes:
    """``[N, 12, 12, 3]``: 1 x 1 convolution, ReLU, mean, dense, softmax: ``[N, 3]``."""
    kernel, dense = _weights()
    nodes = [
        helper.make_node("Transpose", ["image"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["filtered"]),
        helper.make_node("Relu", ["filtered"], ["active"]),
        helper.make_node("GlobalAveragePool", ["active"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "dense", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probs"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", SIDE, SIDE, 3])],
        [helper.make_tensor_value_info("probs", TensorProto.FLOAT, ["N", CLASSES])],
        [
            numpy_helper.from_array(kernel, "kernel"),
            numpy_helper.from_array(dense, "dense"),
            numpy_helper.from_array(np.full(CLASSES, bias, np.float32), "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


def conv_outputs(batch: F32) -> F32:
    """What the network gives, computed without an engine."""
    kernel, dense = _weights()
    active = np.maximum(batch @ kernel[:, :, 0, 0].T, 0)
    logits = active.mean(axis=(1, 2)) @ dense
    raised = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(raised / raised.sum(axis=1, keepdims=True), np.float32)
