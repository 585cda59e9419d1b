"""Writes one model of keras.applications and times ``model.predict``: NAME SIDE FOLDER SECONDS ROUNDS.

A process of its own, as TensorFlow stays out of the benchmark's. It prints the milliseconds by round, and
what scaling the weights were made for.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
from tests.system.families import CLASSES, enliven, images


def main(name: str, side: str, folder: str, seconds: str, rounds: str) -> None:
    import keras

    keras.utils.set_random_seed(5)
    size = int(side)
    make = getattr(keras.applications, name)
    model = make(weights=None, input_shape=(size, size, 3), classes=CLASSES)
    inside = any(layer.__class__.__name__ == "Rescaling" for layer in model.layers)
    raw = images(size, 1)
    plain = inside or name.startswith("ConvNeXt")
    enliven(model, raw if plain else raw / np.float32(127.5) - 1, 3)
    model.save(Path(folder, f"{name}.keras"))
    one = np.asarray(raw[:1])
    for _ in range(3):
        model.predict(one, verbose=0)
    found = []
    for _ in range(int(rounds)):
        times, end = list[float](), perf_counter() + float(seconds)
        while len(times) < 5 or perf_counter() < end:
            began = perf_counter()
            model.predict(one, verbose=0)
            times.append((perf_counter() - began) * 1000)
        found.append(median(times))
    sys.stdout.write(json.dumps({"ms": found, "scaling": "none" if plain else "tf"}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
