"""The program that trains the solar cell classifier; it is started as a file, in a Python that has Keras.

Arguments: the folder with base.keras and train.npz (``images`` uint8 [n, 160, 160], ``labels``), the seed.
Writes solar.keras there. Imports nothing of ours.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

SIDE = 160
# Outputs of these blocks are pooled beside the head: fine structure (cracks) is gone at the head.
TAPS = (4, 7, 10, 14)
EPOCHS, BATCH = 30, 128
NOT_INSTALLED = 3


def main(folder: str, seed: str) -> int:
    """Train and save; exit code 3 when Keras or its backend is not installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    try:
        import keras
    except ImportError as exc:
        sys.stderr.write(f"{exc}\n")
        return NOT_INSTALLED
    keras.utils.set_random_seed(int(seed))
    train(keras, Path(folder))
    return 0


def train(keras: Any, folder: Path) -> None:
    """Features once from the frozen network, then a small head on them; saved as one model."""
    import numpy as np

    with np.load(folder / "train.npz") as data:
        images, labels = data["images"].astype(np.float32)[..., None], data["labels"]
    extractor = feature_model(keras, folder / "base.keras")
    both = np.concatenate([images, images[:, :, ::-1]])
    features = np.concatenate([np.asarray(extractor(both[i : i + 32])) for i in range(0, len(both), 32)])
    head = fit_head(keras, features, np.concatenate([labels, labels]))
    pixels = keras.Input((SIDE, SIDE, 1), name="image")
    model = keras.Model(pixels, head(extractor(pixels)), name="solar")
    model.save(folder / "solar.keras")


def feature_model(keras: Any, path: Path) -> Any:
    """Grey image in, pooled features of several depths out."""
    layers = keras.layers
    base = keras.saving.load_model(path, compile=False)
    base.trainable = False
    names = {layer.name for layer in base.layers}
    taps = [f"block{i}_add" if f"block{i}_add" in names else f"block{i}_project_bn" for i in TAPS]
    outputs = [base.get_layer(name).output for name in taps]
    trunk = keras.Model(base.input, [*outputs, base.get_layer("pool").output], name="trunk")
    pixels = keras.Input((SIDE, SIDE, 1), name="grey")
    *maps, pooled = trunk(layers.Concatenate(name="rgb")([pixels] * 3))
    means = [layers.GlobalAveragePooling2D(name=f"mean{i}")(m) for i, m in zip(TAPS, maps, strict=True)]
    peaks = [layers.GlobalMaxPooling2D(name=f"peak{i}")(m) for i, m in zip(TAPS, maps, strict=True)]
    return keras.Model(pixels, layers.Concatenate(name="all")([pooled, *means, *peaks]), name="features")


def fit_head(keras: Any, features: Any, labels: Any) -> Any:
    """Normalization, dropout, and a softmax over good and defective."""
    layers = keras.layers
    normalization = layers.Normalization(name="normal")
    normalization.adapt(features)
    regular = keras.regularizers.L2(0.01)
    dense = layers.Dense(
        2, activation="softmax", kernel_initializer="zeros", kernel_regularizer=regular, name="defect"
    )
    source = keras.Input(features.shape[1:], name="features")
    head = keras.Model(source, dense(layers.Dropout(0.5, name="drop")(normalization(source))), name="head")
    head.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    share = labels.mean()
    weights = {0: 0.5 / (1 - share), 1: 0.5 / share}
    head.fit(features, labels, batch_size=BATCH, epochs=EPOCHS, class_weight=weights, verbose=0)
    return head


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
