"""Keras' own ``model.predict``, one image at a time, in a process of its own: MODEL PACKAGE IMAGES PICTURE …

It prints JSON: milliseconds from import to the first prediction, then of each prediction.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from time import perf_counter

STARTED = perf_counter()


def main(model_file: str, package: str, images: str, *pictures: str) -> None:
    import keras

    from skerry.package.manifest import Package
    from skerry.package.preprocess import prepare

    recipe = Package.open(Path(package)).recipe
    bodies = [Path(picture).read_bytes() for picture in pictures]
    model = keras.models.load_model(model_file, compile=False)

    def predict(body: bytes) -> None:
        model.predict(prepare(body, recipe)[None], verbose=0)

    predict(bodies[0])
    first = (perf_counter() - STARTED) * 1000
    taken = []
    for number in range(int(images)):
        began = perf_counter()
        predict(bodies[number % len(bodies)])
        taken.append((perf_counter() - began) * 1000)
    sys.stdout.write(json.dumps({"first_ms": first, "each_ms": taken}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
