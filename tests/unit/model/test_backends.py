"""Models that Keras wrote with its PyTorch and JAX backends: read as data, equal to what those predicted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from skerry.model import keras_runtime
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.onnx_session import OnnxSession
from skerry.model.reference import predict

VECTORS = Path(__file__).parents[2] / "vectors"


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_predicts_what_the_other_backend_predicted(backend: str) -> None:
    path = VECTORS / f"tiny_{backend}.keras"
    with np.load(path.with_suffix(".npz")) as data:
        x, y = data["x"].astype(np.float32), data["y"]
    assert np.abs(y[0] - y[1:]).max() > 0.1, "outputs that do not depend on the input prove nothing"
    network = read_network(path)
    assert network.name == f"tiny_{backend}"
    assert np.abs(OnnxSession(convert(network).onnx).run(x) - y).max() <= 1e-5
    assert np.abs(predict(network, x) - y).max() <= 1e-5
    assert np.abs(keras_runtime.predict(path, x).outputs - y).max() <= 1e-5
