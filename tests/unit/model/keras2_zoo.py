"""Keras 2 files, written by tf_keras, with what it predicts: the shapes that Keras 3 cannot load.

Run as a program (a folder to write to): TensorFlow stays out of the test process.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 16
SHAPE = (SIDE, SIDE, 3)
# Models that scale pixels of 0..255 themselves.
INSIDE = ("sequential_in_functional", "mobilenet_and_head", "mobilenet_v3", "functions")
Make = Callable[[], Any]


def shapes(keras: Any) -> dict[str, Make]:
    """The seven nested shapes of measurements part 2 §1.2, and what else Keras 2 writes its own way."""

    def layer(kind: str, *args: Any, **options: Any) -> Any:
        return getattr(keras.layers, kind)(*args, **options)

    def base(name: str = "base", frozen: bool = False) -> Any:
        x = keras.Input(SHAPE)
        y = layer("Conv2D", 6, 3, padding="same", use_bias=False)(x)
        y = layer("ReLU", 6.0)(layer("BatchNormalization", axis=3)(y))
        y = layer("DepthwiseConv2D", 3, strides=2, padding="same")(y)
        y = layer("BatchNormalization", scale=False, trainable=not frozen)(y)
        z = layer("SeparableConv2D", 6, 3, padding="same", activation="swish")(y)
        model = keras.Model(x, layer("Add")([y, z]), name=name)
        model.trainable = not frozen
        return model

    def head(x: Any, units: int = 4) -> Any:
        return layer("Dense", units, activation="softmax")(layer("GlobalAveragePooling2D")(x))

    def base_in_sequential() -> Any:
        return keras.Sequential(
            [base(frozen=True), layer("GlobalAveragePooling2D"), layer("Dense", 4, activation="softmax")]
        )

    def base_called_in_functional() -> Any:
        x = keras.Input(SHAPE)
        return keras.Model(x, head(base(frozen=True)(x, training=False)))

    def sequential_in_sequential() -> Any:
        inner = keras.Sequential(
            [layer("Conv2D", 5, 3, activation="relu", input_shape=SHAPE), layer("MaxPooling2D")]
        )
        return keras.Sequential([inner, layer("Flatten"), layer("Dense", 4)])

    def sequential_in_functional() -> Any:
        x = keras.Input(SHAPE)
        augment = keras.Sequential([layer("RandomFlip"), layer("RandomRotation", 0.1)])
        y = layer("Rescaling", 1 / 127.5, offset=-1)(augment(x))
        return keras.Model(x, head(base()(y)))

    def functional_in_functional_twice() -> Any:
        x = keras.Input(SHAPE)
        shared = base()
        inner = keras.Input(SHAPE)
        outer = keras.Model(inner, layer("Conv2D", 3, 3, activation="relu")(shared(inner)), name="outer")
        return keras.Model(x, head(layer("Concatenate")([layer("ZeroPadding2D", 1)(outer(x)), shared(x)])))

    def mobilenet_and_head() -> Any:
        x = keras.Input((32, 32, 3))
        mobile = keras.applications.MobileNetV2(
            weights=None, include_top=False, input_shape=(32, 32, 3), alpha=0.35
        )
        mobile.trainable = False
        y = keras.applications.mobilenet_v2.preprocess_input(x)
        return keras.Model(x, head(layer("Dropout", 0.2)(mobile(y, training=False))))

    def partly_frozen() -> Any:
        inner = base()
        for one in inner.layers[:3]:
            one.trainable = False
        return keras.Sequential([inner, layer("Flatten"), layer("Dense", 4, activation="softmax")])

    def flat_sequential() -> Any:
        return keras.Sequential(
            [
                layer("Conv2D", 4, 3, activation="hard_sigmoid", input_shape=SHAPE),
                layer("LeakyReLU", 0.2),
                layer("Conv2DTranspose", 3, 3, strides=2, padding="same"),
                layer("Flatten"),
                layer("Dense", 3),
            ]
        )

    def functions() -> Any:
        import tensorflow as tf

        x = keras.Input(SHAPE)
        y = keras.applications.resnet50.preprocess_input(x)
        y = tf.nn.relu(1.0 - y * 0.01) + layer("Conv2D", 3, 3, padding="same")(y) * 0.01
        y = tf.concat([y, tf.nn.gelu(y), tf.nn.silu(y)], -1)
        return keras.Model(x, tf.reduce_mean(y, [1, 2]))

    def mobilenet_v3() -> Any:
        return keras.applications.MobileNetV3Small(weights=None, input_shape=(32, 32, 3), classes=5)

    def two_outputs() -> Any:
        x = keras.Input(SHAPE)
        y = base()(x)
        return keras.Model(x, [layer("Dense", 2, name="small")(layer("Flatten")(y)), head(y)])

    made = (base_in_sequential, base_called_in_functional, sequential_in_sequential, sequential_in_functional,
            functional_in_functional_twice, mobilenet_and_head, partly_frozen, flat_sequential, functions,
            mobilenet_v3, two_outputs)  # fmt: skip
    return {make.__name__: make for make in made}


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    keras = importlib.import_module("tf_keras")

    random = np.random.default_rng(11)
    for name, make in shapes(keras).items():
        model = make()
        for variable in model.weights:
            if len(variable.shape) > 1:  # Kernels keep the variance; a depthwise one sees one channel.
                seen = variable.shape[:2] if "depthwise" in variable.name else variable.shape[:-1]
                variable.assign(random.normal(0, np.sqrt(2 / np.prod(seen)), variable.shape))
            else:
                middle = 1.0 if any(part in variable.name for part in ("gamma", "variance")) else 0.0
                variable.assign(middle + random.uniform(-0.3, 0.3, variable.shape))
        high = 255 if name in INSIDE else 1
        x = random.uniform(0, high, (3, *model.input_shape[1:])).astype(np.float32)
        made = model(x, training=False)
        y = np.asarray(made[0] if isinstance(made, list) else made)
        np.savez(folder / f"{name}.npz", x=x, y=y)
        model.save(folder / f"{name}.h5")
        if name == "functions":
            continue  # tf_keras itself cannot write a slice into a .keras file or JSON.
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}_weights.h5")
        (folder / f"{name}.json").write_text(model.to_json())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
