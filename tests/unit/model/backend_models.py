"""Trains a tiny CNN with the Keras backend that KERAS_BACKEND names; saves it, and what it predicts.

Run by hand in an environment with keras and torch or jax: ``KERAS_BACKEND=torch python backend_models.py
tests/vectors``. The files there were written so by Keras 3.15.1 with torch 2.13.0+cpu and jax 0.10.2.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    import keras

    backend = keras.backend.backend()
    keras.utils.set_random_seed(11)
    random = np.random.default_rng(11)
    kinds = random.integers(0, 3, 96)
    x = random.integers(0, 120, (96, 16, 16, 3)).astype(np.uint8)
    for picture, kind in zip(x, kinds, strict=True):
        picture[:, :, kind] += 100
    layers = keras.layers
    image = keras.Input((16, 16, 3), name="image")
    y = layers.RandomFlip()(layers.Rescaling(1 / 255)(image))
    y = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(y)
    y = layers.ReLU(max_value=6)(layers.BatchNormalization()(y))
    y = layers.Add()([y, layers.SeparableConv2D(8, 3, padding="same", activation="gelu")(y)])
    y = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(y))
    y = layers.Dense(3, activation="softmax", name="probs")(y)
    model = keras.Model(image, y, name=f"tiny_{backend}")
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x.astype(np.float32), kinds, epochs=6, batch_size=16, verbose=0)
    model.save(folder / f"tiny_{backend}.keras")
    answers = keras.ops.convert_to_numpy(model(x[:4].astype(np.float32), training=False))
    np.savez_compressed(folder / f"tiny_{backend}.npz", x=x[:4], y=answers)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
