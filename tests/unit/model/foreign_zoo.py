"""Models that hold somebody's code (custom layers, Lambda) or none of ours (SavedModel), made by Keras 3.

Run as a program (a folder to write to): TensorFlow stays out of the test process.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (12, 10, 3)
ARCHITECTURE = '''
import keras


class Scale(keras.layers.Layer):
    """The tutorial's layer after each batch normalisation: gamma * x + beta, per channel."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), initializer="ones", name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), initializer="zeros", name="beta")

    def call(self, x):
        return self.gamma * x + self.beta


def build(shape=(12, 10, 3), width=8, classes=5):
    """A bottleneck of the tutorial's ResNet152, between its stem and its head."""
    layers = keras.layers
    image = keras.Input(shape)
    x = layers.ZeroPadding2D(1)(image)
    x = layers.BatchNormalization(epsilon=1.1e-5)(layers.Conv2D(width, 3, use_bias=False)(x))
    x = Scale(name="scale_conv1")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(layers.Activation("relu")(x))
    y = x
    for i, (filters, size) in enumerate(((width // 2, 1), (width // 2, 3), (width, 1))):
        y = layers.Conv2D(filters, size, padding="same", use_bias=False)(y)
        y = Scale(name=f"scale_{i}")(layers.BatchNormalization(epsilon=1.1e-5)(y))
        y = layers.Activation("relu")(y) if i < 2 else y
    x = layers.Activation("relu")(layers.Add()([x, y]))
    x = layers.Flatten()(layers.AveragePooling2D((6, 5))(x))
    return keras.Model(image, layers.Dense(classes, activation="softmax", name="fc")(x))
'''


def main(folder: Path) -> None:
    import keras
    import tensorflow as tf

    (folder / "arch.py").write_text(ARCHITECTURE)
    sys.path.insert(0, str(folder))
    arch = importlib.import_module("arch")

    layers = keras.layers
    # Also for the kernels Keras draws: some draws give a softmax that no input moves.
    keras.utils.set_random_seed(3)
    random = np.random.default_rng(3)

    def enlivened(model: Any) -> Any:
        for variable in model.weights:
            if "seed" not in variable.path and len(variable.shape) == 1:
                middle = 1.0 if any(part in variable.path for part in ("gamma", "variance")) else 0.0
                variable.assign(middle + random.uniform(-0.5, 0.5, variable.shape))
            elif len(variable.shape) > 1:
                variable.assign(np.asarray(variable) * 2)
        return model

    def predict(name: str, model: Any) -> None:
        x = random.uniform(-2, 2, (3, *SHAPE)).astype(np.float32)
        np.savez(folder / f"{name}.npz", x=x, y=np.asarray(model(x, training=False)))

    scaled = enlivened(arch.build())
    scaled.save(folder / "scaled.keras")
    scaled.save_weights(folder / "scaled.weights.h5")
    scaled.export(folder / "scaled_saved", verbose=False)
    predict("scaled", scaled)

    image = keras.Input(SHAPE)
    x = layers.Lambda(lambda v: v * 2 + 1)(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    code = enlivened(keras.Model(image, layers.Dense(3)(x)))
    code.save(folder / "code.keras")
    predict("code", code)

    # Everything a graph of TensorFlow's own may hold, and live augmentation that must not be in it.
    image = keras.Input(SHAPE)
    x = layers.RandomFlip()(image)
    x = layers.Conv2D(6, 3, padding="same", activation="leaky_relu")(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same", activation="gelu")(x)
    x = layers.DepthwiseConv2D(3, activation="selu")(x)
    x = layers.UpSampling2D(interpolation="bilinear")(layers.AveragePooling2D(2, padding="same")(x))
    x = layers.Concatenate()([x, layers.LayerNormalization()(x)])[:, 1:, ::-1]
    x = layers.GroupNormalization(2)(layers.SeparableConv2D(8, 3, strides=2, activation="swish")(x))
    x = keras.ops.max(layers.ZeroPadding2D(1)(x), axis=1)
    rich = enlivened(keras.Model(image, layers.Dense(4)(layers.Dropout(0.5)(layers.Flatten()(x)))))
    rich.save(folder / "rich.keras")
    rich.export(folder / "augmenting_saved", verbose=False)
    archive = keras.export.ExportArchive()
    archive.track(rich)
    spec = tf.TensorSpec([None, *SHAPE], tf.float32)
    archive.add_endpoint("serve", lambda x: rich(x, training=False), input_signature=[spec])
    archive.write_out(folder / "rich_saved", verbose=False)
    predict("rich", rich)
    live = tf.Module()
    spec = tf.TensorSpec([None, *SHAPE], tf.float32, name="image")

    def noisy(image: Any) -> dict[str, Any]:
        return {"y": tf.reduce_mean(tf.random.uniform(tf.shape(image)) * image, [1, 2])}

    live.f = tf.function(noisy, input_signature=[spec])
    tf.saved_model.save(live, str(folder / "live_saved"), signatures={"serving_default": live.f})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
