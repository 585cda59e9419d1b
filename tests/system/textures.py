"""Trains a small CNN on photographed textures; started as a file, in a Python with Keras.

Arguments: a folder with brick.png, grass.png and gravel.png, the .keras file to write, a folder for held-out
patches in class folders. Some that are trained on go into calibration.npz beside the photos. The patches are
noisy: at 100 % accuracy nothing could be lost and seen.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CLASSES = ("brick", "grass", "gravel")
SIDE, TRAIN, HELD_OUT = 48, 500, 85
# Columns below are trained on, those from here on are held out.
BORDER = 352
NOISE = 25


def main(photos: str, model_path: str, held_out: str) -> int:
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import keras
    import numpy as np
    from PIL import Image

    keras.utils.set_random_seed(1)
    random = np.random.default_rng(1)
    images, labels = [], []
    for number, name in enumerate(CLASSES):
        with Image.open(Path(photos, f"{name}.png")) as photo:
            pixels = np.asarray(photo.convert("L"), np.float32)
        folder = Path(held_out, name)
        folder.mkdir(parents=True)
        for i in range(TRAIN + HELD_OUT):
            low, high = (0, BORDER) if i < TRAIN else (BORDER, pixels.shape[1])
            row = random.integers(0, pixels.shape[0] - SIDE)
            column = random.integers(low, high - SIDE)
            patch = pixels[row : row + SIDE, column : column + SIDE] + random.normal(0, NOISE, (SIDE, SIDE))
            patch = patch.clip(0, 255).astype(np.uint8)
            if i < TRAIN:
                images.append(patch)
                labels.append(number)
            else:
                Image.fromarray(patch).save(folder / f"{i:04}.png")
    np.savez(Path(photos, "calibration.npz"), images=np.array(images[:: len(images) // 64][:64]))
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((SIDE, SIDE, 1)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(np.array(images)[..., None], np.array(labels), batch_size=32, epochs=12, verbose=0)
    model.save(model_path)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
